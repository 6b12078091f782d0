"""Subscriptions to Web Push: what a browser hands over, and who may be told by it.

Rules:
1. An endpoint is a URL that a user names and a program of ours posts to. So it is https, at a host
   of the known push services or one that the operator added, and nothing in it says who asks.
2. One hash holds all of them by `subscription_id`, each as JSON: hubs write it, whoever pushes
   reads it. A subject's newest push out its oldest; where all places are taken none is added.
3. A subscription ends with the token that made it. One that an API key made has no end of its own:
   hubs take it away once the key is revoked.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from collections.abc import Collection
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

import msgspec

from hub.protocol import keys
from hub.protocol.errors import ProtocolError
from hub.protocol.scripts import Call

KNOWN_SERVICES: Final = (
    "fcm.googleapis.com",
    "push.services.mozilla.com",
    "push.apple.com",
    "notify.windows.com",
)
"""Where the browsers of Google, Mozilla, Apple and Microsoft are reached."""

MAX_ENDPOINT: Final = 1024
MAX_SUBSCRIPTIONS: Final = 1000
MAX_OF_SUBJECT: Final = 16
MAX_CHANNELS: Final = 128

_ID: Final = re.compile(r"[0-9a-f]{32}")
_HOST: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.?")
_ORIGIN: Final = re.compile(r"https?://[a-z0-9.\-\[\]:]+")
_PATH: Final = re.compile(r"/[\x21-\x7e]*")

# The curve P-256 (SEC 2, section 2.4.2).
_P: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


class PushSubscription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One browser that may be told of alerts.

    p256dh, auth: what a message is encrypted for it with (RFC 8291), in base64url.
    channels: whose alerts it is told of; the subscription was made by whoever may read them.
    public_key: the VAPID key that alone may push to it (RFC 8292 section 4).
    created, expires: Unix seconds; expires is None where an API key, `key_id`, made it.
    """

    endpoint: str
    p256dh: str
    auth: str
    channels: tuple[str, ...]
    subject: str
    public_key: str
    created: float
    expires: float | None = None
    key_id: str = ""

    @property
    def id(self) -> str:
        return subscription_id(self.endpoint)

    def lasts(self, now: float) -> bool:
        """Whether it has not ended by itself. now: Unix seconds."""
        return self.expires is None or now < self.expires


_decode = msgspec.json.Decoder(PushSubscription).decode


def read_subscription(content: bytes) -> PushSubscription | None:
    """What the hash holds of one; None where it is not what a hub wrote."""
    try:
        return _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def subscription_id(endpoint: str) -> str:
    """What a subscription is known by: it tells nobody where to push to."""
    return sha256(endpoint.encode()).hexdigest()[:32]


def check_id(id: str) -> str:
    """Return `id`, or raise ProtocolError."""
    if _ID.fullmatch(id):
        return id
    raise ProtocolError(f"expected the id of a subscription (32 hex digits), got {id!r:.40}")


def check_endpoint(endpoint: str, services: Collection[str] = ()) -> str:
    """Return `endpoint`, or raise ProtocolError where it is not at a known push service.

    services: besides those, as `check_service` takes them.
    """
    if len(endpoint) > MAX_ENDPOINT:
        raise _bad(f"expected at most {MAX_ENDPOINT} characters, got {len(endpoint)}")
    scheme, _, rest = endpoint.partition("://")
    authority, slash, path = rest.partition("/")
    origin = f"{scheme}://{authority}"
    if "#" in endpoint or not _PATH.fullmatch(slash + path):
        raise _bad("expected a URL with a path, and nothing after '#'")
    if origin in services:
        return endpoint
    # No credentials, no port: nothing but a name is compared, and reached.
    if scheme != "https" or not _HOST.fullmatch(authority):
        raise _bad(f"expected https://HOST/..., got {origin!r:.80}")
    host = authority.removesuffix(".")
    for service in (*KNOWN_SERVICES, *services):
        if host == service or host.endswith(f".{service}"):
            return endpoint
    raise _bad(f"expected a known push service, got {host!r:.80}")


def check_service(service: str) -> str:
    """Return `service`, a host (those below it count too) or an origin; or raise ValueError."""
    if _HOST.fullmatch(service) and "." in service.strip("."):
        return service
    if _ORIGIN.fullmatch(service):
        return service
    raise ValueError(f"expected 'push.example.com' or 'https://HOST:PORT', got {service!r}")


def origin_of(endpoint: str) -> str:
    """The origin of an endpoint that was checked."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}"


def check_point(text: str) -> str:
    """Return `text`, a point of P-256 as the uncompressed 65 bytes in base64url (SEC 1, section
    2.3.3), or raise ValueError: whoever knows a point off the curve could learn of our key."""
    point = from_base64url(text)
    if len(point) != 65 or point[0] != 4:
        raise ValueError(f"expected a public key of 65 bytes that begin with 4, got {len(point)}")
    x, y = int.from_bytes(point[1:33]), int.from_bytes(point[33:])
    if max(x, y) >= _P or (y * y - x * x * x + 3 * x - _B) % _P:
        raise ValueError("expected a public key of P-256, got a point that is not on its curve")
    return text


def check_auth(text: str) -> str:
    """Return `text`, the 16 bytes of a browser's secret in base64url; or raise ValueError."""
    if (size := len(from_base64url(text))) != 16:
        raise ValueError(f"expected a secret of 16 bytes, got {size}")
    return text


def to_base64url(content: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """What `to_base64url` made; raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise ValueError("expected base64url without padding")
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except BadBase64:
        raise ValueError("expected base64url, got a length that it cannot have") from None


def _bad(reason: str) -> ProtocolError:
    return ProtocolError(f"endpoint: {reason}")


# In Redis


ADD: Final = r"""
-- KEYS: subscriptions
-- ARGV: 1 id, 2 the subscription, 3 its subject, 4 now (s), 5 most of a subject, 6 most of all
local id, subject, now = ARGV[1], ARGV[3], tonumber(ARGV[4])
local kept, own = 0, {}
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  if all[at] ~= id then
    local is_json, each = pcall(cjson.decode, all[at + 1])
    if not is_json or type(each) ~= 'table'
        or type(each.expires) == 'number' and each.expires <= now then
      redis.call('HDEL', KEYS[1], all[at])
    else
      kept = kept + 1
      if each.subject == subject then
        own[#own + 1] = {id = all[at], created = tonumber(each.created) or 0}
      end
    end
  end
end
table.sort(own, function(a, b)
  if a.created == b.created then return a.id < b.id end
  return a.created < b.created
end)
for at = 1, #own - tonumber(ARGV[5]) + 1 do
  redis.call('HDEL', KEYS[1], own[at].id)
  kept = kept - 1
end
if kept >= tonumber(ARGV[6]) then return 'full' end
redis.call('HSET', KEYS[1], id, ARGV[2])
return 'added'
"""
"""Add a subscription, or put it in place of the one with its endpoint; those that ended go."""

DROP: Final = r"""
-- KEYS: subscriptions
-- ARGV: 1 id, 2 the subscription: as it was read, so that one made anew meanwhile stays
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
"""


def add_call(subscription: PushSubscription, now: float, *, most: int = MAX_SUBSCRIPTIONS) -> Call:
    """The arguments of `ADD`."""
    content = msgspec.json.encode(subscription)
    args = (subscription.id, content, subscription.subject, str(now), MAX_OF_SUBJECT, most)
    return Call((keys.PUSH_SUBSCRIPTIONS,), args)


def drop_call(id: str, content: bytes) -> Call:
    """The arguments of `DROP`."""
    return Call((keys.PUSH_SUBSCRIPTIONS,), (id, content))
