"""Who may do what: tokens and API keys, and the grants that they give.

A token is a JWT signed with HS256 and the hub's secret: `sub` and `exp` are required, `read`,
`publish` and `command` are lists of channel patterns. Absent means none, `*` means all, and what
is not a well-formed pattern refuses the whole token: a right that somebody misspelled must not
turn into another one. An API key gives what the file of keys says (`hub.server.keys`).

PyJWT verifies tokens, with one exception: a token with the header that nearly all have, and the
right signature, is recognised by computing that signature. Whatever else is shown, right or wrong,
is PyJWT's to judge.
"""

from __future__ import annotations

import hmac
from binascii import Error as BadBase64
from binascii import a2b_base64, b2a_base64
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import jwt
import msgspec
from jwt.algorithms import HMACAlgorithm

from hub.core.grant import Grant
from hub.protocol.errors import ChannelNameError
from hub.server.keys import (
    KEY_PREFIX,
    MAX_SUBJECT_CHARACTERS,
    KeyFile,
    check_rights,
    check_subject,
)
from hub.server.settings import MIN_SECRET_BYTES, Settings

ALGORITHM = "HS256"
MAX_TOKEN_BYTES = 8192
MAX_PATTERNS = 256
CLOCK_SKEW_SECONDS = 5.0
"""How far the clock of whoever minted a token may be ahead, for `nbf`; nothing prolongs `exp`."""
CACHED_TOKENS = 4096


class AuthError(Exception):
    """A token or key that is refused; `reason` is safe to tell whoever showed it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# To the year 9999, which leaves out NaN and infinity.
_UnixSeconds = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_800)]
_Patterns = Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_PATTERNS)]


class _Claims(msgspec.Struct, frozen=True):
    sub: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SUBJECT_CHARACTERS)] | None = None
    exp: _UnixSeconds | None = None
    nbf: _UnixSeconds = 0.0
    aud: Any = None
    read: _Patterns = ()
    publish: _Patterns = ()
    command: _Patterns = ()


_decode_claims = msgspec.json.Decoder(_Claims).decode


class _FixedSecret(HMACAlgorithm):
    """HS256 with a secret that was checked once. PyJWT looks at each call whether the secret might
    be a key of another kind, which takes as long as all the rest of the verification."""

    def prepare_key(self, key: str | bytes) -> bytes:
        assert isinstance(key, bytes), "the secret, in the bytes that `_checked` returned"
        return key


def _verifier() -> jwt.PyJWS:
    jws = jwt.PyJWS(algorithms=[])
    jws.register_algorithm(ALGORITHM, _FixedSecret(HMACAlgorithm.SHA256))
    return jws


PLAIN_HEADER = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
"""`{"alg":"HS256","typ":"JWT"}`, as PyJWT and the libraries of other languages write it."""
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def plain_payload(shown: str, secret: bytes) -> bytes | None:
    """The payload of a plain token whose signature is right (RFC 7515 section 3.1, RFC 7518
    section 3.2); None for any other. `shown` is ASCII."""
    signed, _, signature = shown.rpartition(".")
    header, _, payload = signed.partition(".")
    if header != PLAIN_HEADER:
        return None
    digest = b2a_base64(hmac.digest(secret, signed.encode(), "sha256"), newline=False)
    if not hmac.compare_digest(digest.translate(_TO_URL, b"="), signature.encode()):
        return None
    try:
        padded = payload.encode().translate(_FROM_URL) + b"=" * (-len(payload) % 4)
        return a2b_base64(padded, strict_mode=True)
    except BadBase64:
        return None


class Authenticator:
    """Turns what somebody shows into a Grant.

    Verified tokens are remembered by their SHA-256, at most `CACHED_TOKENS` of them, the least
    recently used going first: a reconnect of a dashboard costs a hash. Remembered or not, `exp` is
    looked at each time. API keys are looked up each time, so that a revoked one ends at once.

    clock: Unix seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        secret = _checked(settings.jwt_secret)
        self._secret = HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
        self._jws = _verifier()
        self._keys = KeyFile(Path(settings.keys_file) if settings.keys_file else None)
        self._clock = clock
        self._verified: OrderedDict[bytes, Grant] = OrderedDict()

    def authenticate(self, shown: str) -> Grant:
        """The rights of a token or an API key; raises AuthError."""
        if not shown:
            raise AuthError("expected a token, got nothing")
        if len(shown) > MAX_TOKEN_BYTES or not shown.isascii():
            raise AuthError(f"expected a token of at most {MAX_TOKEN_BYTES} ASCII characters")
        if shown.startswith(KEY_PREFIX):
            return self._of_key(shown)
        return self._of_token(shown)

    def _of_key(self, shown: str) -> Grant:
        key = self._keys.find(shown)
        if key is None:
            raise AuthError("the API key is unknown or revoked")
        return Grant(key.subject, key.read, key.publish, None, key.id, key.command)

    def still_gives(self, grant: Grant) -> bool:
        """Whether the key that gave a grant has not been revoked since; a token can't be."""
        return self.has_key(grant.key_id)

    def has_key(self, id: str) -> bool:
        """Whether there is an API key with this id now; "" stands for a token, which has none."""
        return not id or self._keys.has(id)

    def _of_token(self, shown: str) -> Grant:
        digest = sha256(shown.encode()).digest()
        grant = self._verified.get(digest)
        if grant is None:
            grant = self._verify(shown)
            self._verified[digest] = grant
            if len(self._verified) > CACHED_TOKENS:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(digest)
        if grant.expires_at is not None and grant.expires_at <= self._clock():
            del self._verified[digest]
            raise AuthError("the token has expired")
        return grant

    def _verify(self, shown: str) -> Grant:
        try:
            payload = plain_payload(shown, self._secret)
            if payload is None:
                payload = self._jws.decode_complete(shown, self._secret, [ALGORITHM])["payload"]
        except jwt.PyJWTError:
            # Not why: a forger learns nothing from one answer for all.
            raise AuthError("the token is malformed or signed with another secret") from None
        try:
            claims = _decode_claims(payload)
            check_rights(claims.read, claims.publish, claims.command)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ChannelNameError) as error:
            # The signature was right, so whoever minted it may know.
            raise AuthError(f"the token's claims: {error}") from None
        if claims.sub is None:
            raise AuthError("the token lacks the claim 'sub'")
        if claims.exp is None:
            raise AuthError("the token lacks the claim 'exp'")
        if claims.aud is not None:
            raise AuthError("the token is meant for another service ('aud')")
        if claims.nbf > self._clock() + CLOCK_SKEW_SECONDS:
            raise AuthError("the token is not valid yet")
        return Grant(claims.sub, claims.read, claims.publish, claims.exp, command=claims.command)


def mint_token(
    secret: str,
    subject: str,
    *,
    read: Sequence[str] = (),
    publish: Sequence[str] = (),
    command: Sequence[str] = (),
    ttl_seconds: float,
    now: float,
) -> str:
    """A token for `subject` that ends `ttl_seconds` after `now` (Unix seconds).

    Raises ValueError for a short secret or a bad subject, ChannelNameError for a bad pattern.
    """
    check_subject(subject)
    check_rights(read, publish, command)
    claims = {"sub": subject, "iat": int(now), "exp": int(now + ttl_seconds)}
    claims |= {"read": list(read)} if read else {}
    claims |= {"publish": list(publish)} if publish else {}
    claims |= {"command": list(command)} if command else {}
    return jwt.encode(claims, _checked(secret), algorithm=ALGORITHM)


def _checked(secret: str) -> bytes:
    size = len(secret.encode())
    if size < MIN_SECRET_BYTES:
        raise ValueError(f"expected a secret of at least {MIN_SECRET_BYTES} bytes, got {size}")
    return secret.encode()
