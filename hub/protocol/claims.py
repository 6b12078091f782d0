"""Claims: what somebody asks for under an idempotency key is one thing for as long as it is known.

A publish that is sent again under the id that it had is answered as the first was, whatever it
says. That is right for a publisher, which numbers what it sends. Who makes up keys may give one
twice by mistake, and what was never published must not be answered as if it were: the IETF draft
"The Idempotency-Key HTTP Header Field" refuses it with 422.
"""

from __future__ import annotations

from hashlib import sha256

from hub.protocol import keys
from hub.protocol.channels import check_channel
from hub.protocol.scripts import ANSWERS_SECONDS, Call

CLAIM = r"""
-- KEYS: answers of this producer.  ARGV: 1 digest of what is asked for, 2 seconds that it is known
local before = redis.call('HGET', KEYS[1], 'asked')
if before then return before == ARGV[1] and 1 or 0 end
redis.call('HSET', KEYS[1], 'asked', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""


def claim_call(channel: str, producer: str, asked: bytes) -> Call:
    """The arguments of `CLAIM`, which answers whether `producer` asked for nothing else before.
    Raises ChannelNameError."""
    digest = sha256(asked).hexdigest()[:32]
    return Call((keys.answers(check_channel(channel), producer),), (digest, ANSWERS_SECONDS))
