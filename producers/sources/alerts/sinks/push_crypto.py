"""What Web Push asks of a sender: a message that one browser can read, and a signed request.

The encryption is RFC 8291's, for which pywebpush would bring aiohttp, requests and two packages
more; primitives are those of `cryptography`, and the signature is PyJWT's.
"""

from __future__ import annotations

import os
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.protocol.push import from_base64url, origin_of, to_base64url

_CURVE: Final = ec.SECP256R1()
_RECORD_BYTES: Final = 4096
_TAG_BYTES: Final = 16
_LAST: Final = b"\x02"
"""After the text of the last record (RFC 8188 section 2); there is one."""
MAX_TEXT_BYTES: Final = _RECORD_BYTES - 86 - _TAG_BYTES - len(_LAST)
"""With it the whole body has the 4096 bytes that every push service takes (RFC 8030 section 7.2).
86 are the header's."""

VAPID_SECONDS: Final = 12 * 3600
"""How long a signature is valid, of a day at most (RFC 8292 section 2)."""
_RENEWED_SECONDS: Final = 3600
"""So long before its end another is made: clocks differ."""


def encrypt(
    text: bytes,
    p256dh: str,
    auth: str,
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """The body of a push: `text` encrypted for the browser whose keys these are (RFC 8291).

    key, salt: what is made anew for each message, unless a test knows better. Raises ValueError
    for a text that is too long, or keys that are none.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise ValueError(f"expected at most {MAX_TEXT_BYTES} bytes, got {len(text)}")
    key = key or ec.generate_private_key(_CURVE)
    salt = salt or os.urandom(16)
    theirs = from_base64url(p256dh)
    ours = _point(key.public_key())
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, theirs))
    secret = _hkdf(from_base64url(auth), shared, b"WebPush: info\0" + theirs + ours, 32)
    content_key = _hkdf(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _hkdf(salt, secret, b"Content-Encoding: nonce\0", 12)
    header = salt + _RECORD_BYTES.to_bytes(4) + bytes((len(ours),)) + ours
    return header + AESGCM(content_key).encrypt(nonce, text + _LAST, None)


class Vapid:
    """Says who pushes, to each push service in a signature of its own (RFC 8292).

    private_key: the 32 bytes in base64url, as `tapecast push-keys` writes them; raises ValueError
    for another. contact: the mailto: or https: URL at which push services find whoever is
    responsible.
    """

    def __init__(self, private_key: str, contact: str) -> None:
        content = from_base64url(private_key)
        if len(content) != 32:
            raise ValueError(f"expected a private key of 32 bytes, got {len(content)}")
        try:
            self._key = ec.derive_private_key(int.from_bytes(content), _CURVE)
        except ValueError:
            raise ValueError("expected a private key of P-256, got another number") from None
        self._contact = contact
        self._signed: dict[str, tuple[str, float]] = {}
        self.public_key = to_base64url(_point(self._key.public_key()))

    def authorization(self, endpoint: str, now: float) -> str:
        """The header for a push to this endpoint. now: Unix seconds."""
        origin = origin_of(endpoint)
        token, ends_at = self._signed.get(origin, ("", 0.0))
        if now > ends_at - _RENEWED_SECONDS:
            ends_at = now + VAPID_SECONDS
            claims = {"aud": origin, "exp": int(ends_at), "sub": self._contact}
            token = jwt.encode(claims, self._key, algorithm="ES256")
            self._signed[origin] = (token, ends_at)
        return f"vapid t={token}, k={self.public_key}"


def new_keys() -> tuple[str, str]:
    """A new VAPID pair in base64url: the private key, and the public one."""
    key = ec.generate_private_key(_CURVE)
    private = key.private_numbers().private_value.to_bytes(32)
    return to_base64url(private), to_base64url(_point(key.public_key()))


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _hkdf(salt: bytes, content: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(content)
