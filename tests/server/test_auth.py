"""Tokens and API keys: what is let in, with which rights, and what is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.grant import Grant
from hub.protocol.errors import ChannelNameError
from hub.server import auth
from hub.server.auth import PLAIN_HEADER, Authenticator, AuthError, mint_token, plain_payload
from hub.server.keys import add_key, mint_key, revoke_key
from hub.server.settings import Settings

SECRET = "0123456789abcdef0123456789abcdef"
NOW = 1_900_000_000.0


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(clock: Clock) -> Authenticator:
    return Authenticator(Settings(jwt_secret=SECRET), clock)


def signed(claims: Any, *, secret: str = SECRET, **header: Any) -> str:
    """A token of any content with a right signature, which PyJWT would not write."""
    head = _part({"alg": "HS256", "typ": "JWT", **header})
    content = f"{head}.{_part(claims)}"
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        content.encode(), secret.encode()
    )
    return f"{content}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def refusal(authenticator: Authenticator, shown: str) -> str:
    with pytest.raises(AuthError) as refused:
        authenticator.authenticate(shown)
    return refused.value.reason


def test_a_minted_token_gives_its_rights(authenticator: Authenticator) -> None:
    """What `tapecast token` prints is what the hub grants, until it ends."""
    token = mint_token(
        SECRET, "ann", read=["positions:*", "*"], publish=["fills"], command=["commands:*"],
        ttl_seconds=60, now=1,
    )  # fmt: skip
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims == {
        "sub": "ann", "iat": 1, "exp": 61, "read": ["positions:*", "*"], "publish": ["fills"],
        "command": ["commands:*"],
    }  # fmt: skip
    token = mint_token(SECRET, "ann", read=["positions:*"], ttl_seconds=60, now=NOW - 1)
    assert authenticator.authenticate(token) == Grant("ann", ("positions:*",), (), NOW + 59)


def test_absent_rights_are_none(authenticator: Authenticator) -> None:
    """A token without `read` and `publish` may connect and do nothing."""
    grant = authenticator.authenticate(signed({"sub": "ann", "exp": NOW + 1}))
    assert not grant.may_read("portfolio")
    assert not grant.may_publish("portfolio")


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW + 1}, "lacks the claim 'sub'"),
        ({"sub": "a"}, "lacks the claim 'exp'"),
        ({"sub": "a", "exp": None}, "lacks the claim 'exp'"),
        ({"sub": "a", "exp": NOW}, "expired"),
        ({"sub": "a", "exp": NOW - 1}, "expired"),
        ({"sub": "a", "exp": str(NOW + 1)}, "$.exp"),
        ({"sub": "a", "exp": True}, "$.exp"),
        ({"sub": "a", "exp": float("nan")}, "malformed"),
        ({"sub": "a", "exp": float("inf")}, "malformed"),
        ({"sub": "a", "exp": 10**400}, "$.exp"),
        ({"sub": "", "exp": NOW + 1}, "$.sub"),
        ({"sub": "a" * 257, "exp": NOW + 1}, "$.sub"),
        ({"sub": 1, "exp": NOW + 1}, "$.sub"),
        ({"sub": "a", "exp": NOW + 1, "nbf": NOW + 6}, "not valid yet"),
        ({"sub": "a", "exp": NOW + 1, "nbf": "0"}, "$.nbf"),
        ({"sub": "a", "exp": NOW + 1, "aud": "billing"}, "another service"),
        ({"sub": "a", "exp": NOW + 1, "read": "positions:*"}, "$.read"),
        ({"sub": "a", "exp": NOW + 1, "read": None}, "$.read"),
        ({"sub": "a", "exp": NOW + 1, "read": [1]}, "$.read"),
        ({"sub": "a", "exp": NOW + 1, "publish": {"*": 1}}, "$.publish"),
        ({"sub": "a", "exp": NOW + 1, "read": ["positions*"]}, "expected a channel pattern"),
        ({"sub": "a", "exp": NOW + 1, "read": ["a", ""]}, "expected a channel pattern"),
        ({"sub": "a", "exp": NOW + 1, "publish": ["*:a"]}, "expected a channel pattern"),
        ({"sub": "a", "exp": NOW + 1, "read": ["a"] * 257}, "$.read"),
        ([], "Expected `object`"),
        (b"[" * 4000, "Expected `object`"),
        (b"\xff", "malformed"),
    ],
)
def test_a_signed_token_with_other_claims_is_refused_as_a_whole(
    authenticator: Authenticator, claims: Any, reason: str
) -> None:
    """A right that somebody misspelled refuses the token, instead of becoming another right."""
    assert reason in refusal(authenticator, signed(claims))


def test_a_minting_clock_may_be_a_little_ahead(authenticator: Authenticator) -> None:
    """Some seconds between two machines refuse nobody at the moment of minting."""
    claims = {"sub": "a", "exp": NOW + 9, "nbf": NOW + 4, "iat": NOW + 4}
    assert authenticator.authenticate(signed(claims)).subject == "a"


@pytest.mark.parametrize(
    "shown",
    [
        "x",
        "a.b.c",
        ".." * 10,
        signed({"sub": "a", "exp": NOW + 1}, secret="another secret of thirty-two byte"),
        signed({"sub": "a", "exp": NOW + 1}, alg="none"),
        signed({"sub": "a", "exp": NOW + 1}, alg="HS512"),
        signed({"sub": "a", "exp": NOW + 1}, alg=["HS256"]),
        signed({"sub": "a", "exp": NOW + 1}, crit=["x"]),
        jwt.encode({"sub": "a", "exp": NOW + 1}, SECRET * 2, algorithm="HS512"),
        signed({"sub": "a", "exp": NOW + 1}).rpartition(".")[0] + ".",
        f"{_part(b'[' * 4000)}.{_part({})}.AA",
    ],
)
def test_a_forged_or_broken_token_learns_nothing(authenticator: Authenticator, shown: str) -> None:
    """One answer for every token whose signature is not right, whatever else is wrong with it."""
    assert refusal(authenticator, shown) == ("the token is malformed or signed with another secret")


@pytest.mark.parametrize("shown", ["", "x" * 8193, "ä", "\ud800", "tck_", "tck_00000000_x"])
def test_what_is_no_token_at_all_is_refused(authenticator: Authenticator, shown: str) -> None:
    """Nothing, too much, and what is not ASCII never reach the verification."""
    assert refusal(authenticator, shown)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_=-]*\.[A-Za-z0-9_=-]*\.[A-Za-z0-9_=-]*"))
def test_whatever_is_shown_is_refused_and_nothing_else_happens(shown: str) -> None:
    """No input raises anything but AuthError."""
    refusal(Authenticator(Settings(jwt_secret=SECRET), lambda: NOW), shown)


@given(
    st.binary(max_size=60) | st.dictionaries(st.text(max_size=3), st.integers()),
    st.sampled_from([{}, {}, {"typ": "at+jwt"}, {"kid": "1"}, {"alg": "HS512"}]),
    st.sampled_from([SECRET, SECRET, "another secret of thirty-two byte"]),
    st.integers(0, 400),
    st.sampled_from(["", "", "=", "A", ".", "-", "+"]),
)
def test_a_plain_token_is_one_that_pyjwt_takes(
    claims: Any, header: dict[str, Any], secret: str, at: int, extra: str
) -> None:
    """Where the quick way has a payload, the library has the same; where it has none, the library
    is asked."""
    token = signed(claims, secret=secret, **header)
    shown = token[:at] + extra + token[at:]
    payload = plain_payload(shown, SECRET.encode())
    try:
        expected = jwt.PyJWS().decode_complete(shown, SECRET, ["HS256"])["payload"]
    except jwt.PyJWTError:
        expected = None
    assert payload in (None, expected)
    if secret == SECRET and not header and not extra:
        assert payload is not None


def test_the_header_that_is_known_is_the_usual_one() -> None:
    """Tokens that this project mints, and PyJWT does, are read the quick way."""
    token = mint_token(SECRET, "ann", ttl_seconds=60, now=NOW)
    assert token.partition(".")[0] == PLAIN_HEADER
    assert plain_payload(token, SECRET.encode()) is not None


def test_a_remembered_token_still_ends(authenticator: Authenticator, clock: Clock) -> None:
    """The cache spares the verification, and never the look at `exp`."""
    token = signed({"sub": "ann", "exp": NOW + 10})
    first = authenticator.authenticate(token)
    assert authenticator.authenticate(token) is first
    clock.now = NOW + 10
    assert "expired" in refusal(authenticator, token)
    clock.now = NOW
    assert authenticator.authenticate(token) is not first


def test_the_cache_is_bounded(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token that was not used for the longest time is verified anew."""
    monkeypatch.setattr(auth, "CACHED_TOKENS", 2)
    tokens = [signed({"sub": name, "exp": NOW + 10}) for name in "abc"]
    a, b = (authenticator.authenticate(token) for token in tokens[:2])
    assert authenticator.authenticate(tokens[0]) is a
    authenticator.authenticate(tokens[2])
    assert authenticator.authenticate(tokens[0]) is a
    assert authenticator.authenticate(tokens[1]) is not b


def test_an_api_key_gives_what_the_file_says_until_revoked(tmp_path: Path, clock: Clock) -> None:
    """A key has rights like a token and no end, but the one in the file."""
    path = tmp_path / "keys.json"
    key, kept = mint_key("agent-7", ("*",), ("decisions",), ("commands",), now=NOW)
    add_key(path, kept)
    authenticator = Authenticator(Settings(jwt_secret=SECRET, keys_file=str(path)), clock)
    assert authenticator.authenticate(key) == Grant(
        "agent-7", ("*",), ("decisions",), None, kept.id, ("commands",)
    )
    revoke_key(path, kept.id)
    assert refusal(authenticator, key) == "the API key is unknown or revoked"


def test_a_short_secret_is_refused() -> None:
    """Neither the hub nor the minting of tokens works with a secret that can be guessed."""
    with pytest.raises(ValueError, match="at least 32 bytes, got 0"):
        Authenticator(Settings(), lambda: NOW)
    with pytest.raises(ValueError, match="at least 32 bytes, got 5"):
        mint_token("short", "ann", ttl_seconds=1, now=NOW)


def test_a_token_is_not_minted_for_what_the_hub_would_refuse() -> None:
    """Whoever mints hears of a bad pattern or an empty subject, not the one who uses the token."""
    with pytest.raises(ChannelNameError):
        mint_token(SECRET, "ann", read=["Positions"], ttl_seconds=1, now=NOW)
    with pytest.raises(ChannelNameError, match="agents' channels"):
        mint_token(SECRET, "ann", command=["positions:*"], ttl_seconds=1, now=NOW)
    with pytest.raises(ValueError, match="subject"):
        mint_token(SECRET, "", ttl_seconds=1, now=NOW)
