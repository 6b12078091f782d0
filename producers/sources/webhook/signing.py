"""Who posted it: a signature over the body, or a secret that both know.

A signed post follows Standard Webhooks (https://www.standardwebhooks.com), which has libraries for
many languages. Its headers are `webhook-id`, `webhook-timestamp` (seconds since the epoch) and
`webhook-signature`: one or more `v1,BASE64`, each an HMAC-SHA256 over `ID.TIMESTAMP.BODY`.

A post that is too old, or of the future, is refused; so nobody who recorded one can use it later.
Within that window its id is known (see `ledger`). Comparisons take as long whatever they find.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

PREFIX: Final = "whsec_"
MIN_SECRET_BYTES: Final = 16
_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_SECONDS: Final = re.compile(r"[0-9]{1,12}")


class Unauthorized(Exception):
    """A post that nobody who knows the secret has sent now; the text is safe to tell."""


def read_keys(secret: str, *, signs: bool = True) -> tuple[bytes, ...]:
    """The keys of one or more secrets with white space between, the old and the new of a change.

    signs: `whsec_` begins a key in base64, as the standard has it; any other, and any that is
    shared, is its own bytes. Raises ValueError.
    """
    keys = []
    for text in secret.split():
        try:
            key = (
                base64.b64decode(text.removeprefix(PREFIX), validate=True)
                if signs and text.startswith(PREFIX)
                else text.encode()
            )
        except binascii.Error:
            raise ValueError(f"expected base64 after {PREFIX}") from None
        if len(key) < MIN_SECRET_BYTES:
            raise ValueError(f"expected at least {MIN_SECRET_BYTES} bytes, got {len(key)}")
        keys.append(key)
    if not keys:
        raise ValueError("expected a secret, got white space")
    return tuple(keys)


def check_signature(
    keys: Sequence[bytes],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    window_seconds: float,
) -> str:
    """The id of a signed post; raises Unauthorized.

    now: seconds since the epoch.
    """
    id = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not _ID.fullmatch(id) or not _SECONDS.fullmatch(stamp) or not given:
        raise Unauthorized("expected the headers webhook-id, webhook-timestamp, webhook-signature")
    signed = b".".join([id.encode(), stamp.encode(), body])
    signatures = [each.removeprefix("v1,") for each in given.split() if each.startswith("v1,")]
    # Each with each: how many there are is no secret.
    matches = [
        hmac.compare_digest(_sign(key, signed), signature.encode(errors="replace"))
        for key in keys
        for signature in signatures[:16]
    ]
    if not any(matches):
        raise Unauthorized("expected a signature of this body by the secret of this hook")
    age = now - int(stamp)
    if abs(age) > window_seconds:
        raise Unauthorized(f"expected a time within {window_seconds:g} s, got one {age:.0f} s old")
    return id


def signature_headers(keys: Sequence[bytes], id: str, body: bytes, *, now: float) -> dict[str, str]:
    """The headers of a signed post: a signature by each key, so that either may be known.

    now: seconds since the epoch.
    """
    stamp = str(int(now))
    signed = b".".join([id.encode(), stamp.encode(), body])
    return {
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{_sign(key, signed).decode()}" for key in keys),
    }


def check_shared(keys: Sequence[bytes], given: str) -> None:
    """Refuse a post whose secret is not one of the hook's; raises Unauthorized."""
    digest = hashlib.sha256(given.encode(errors="replace")).digest()
    # Digests are of one length, so that the time says nothing of that of the secret.
    matches = [hmac.compare_digest(hashlib.sha256(key).digest(), digest) for key in keys]
    if not any(matches):
        raise Unauthorized("expected the secret of this hook, in the path or as `secret` in JSON")


def _sign(key: bytes, signed: bytes) -> bytes:
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
