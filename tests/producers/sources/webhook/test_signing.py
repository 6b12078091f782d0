"""producers/sources/webhook/signing.py: who posted it."""

from __future__ import annotations

import base64

import pytest

from producers.sources.webhook.signing import (
    Unauthorized,
    check_shared,
    check_signature,
    read_keys,
)

# The vector that the libraries of Standard Webhooks are tested with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIME = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

OTHER = "v1," + base64.b64encode(b"x" * 32).decode()


def check(
    *,
    secret: str = SECRET,
    id: str = ID,
    timestamp: str = str(TIME),
    signature: str = SIGNATURE,
    body: bytes = BODY,
    now: float = TIME,
) -> str:
    """The id of the vector with something else about it."""
    headers = {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature}
    keys = read_keys(secret)
    return check_signature(keys, headers, body, now=now, window_seconds=300)


def test_a_post_by_the_standard() -> None:
    """What any library of Standard Webhooks signs is taken, with other signatures beside it."""
    assert check() == ID
    assert check(signature=f"v2,abc {OTHER} {SIGNATURE}") == ID


def test_a_secret_that_is_changed() -> None:
    """The old one and the new one are both right while both are given."""
    assert check(secret=f"another-secret-of-16 {SECRET}") == ID


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "another-secret-of-16"},
        {"id": "msg_other"},
        {"timestamp": str(TIME + 1)},
        {"body": BODY + b" "},
        {"signature": OTHER},
        {"signature": SIGNATURE[:-2]},
        {"signature": "v1,\u20ac"},
        {"signature": "v1a," + SIGNATURE[3:]},
    ],
)
def test_anything_that_was_not_signed(wrong: dict[str, object]) -> None:
    """Another body, time, id or secret is refused, and not told apart."""
    with pytest.raises(Unauthorized, match="expected a signature of this body"):
        check(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [{"id": ""}, {"id": "a b"}, {"id": "x" * 129}, {"timestamp": "now"}, {"signature": ""}],
)
def test_headers_that_are_missing(wrong: dict[str, str]) -> None:
    """It says which are needed."""
    with pytest.raises(Unauthorized, match="expected the headers webhook-id"):
        check(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [-300, 300])
def test_the_window(seconds: int) -> None:
    """A recorded post is of no use later, nor one with a time to come."""
    assert check(now=TIME + seconds) == ID
    beyond = seconds + (1 if seconds > 0 else -1)
    with pytest.raises(Unauthorized, match=f"within 300 s, got one {beyond} s old"):
        check(now=TIME + beyond)


def test_a_shared_secret() -> None:
    """One of the hook's keys and nothing else."""
    keys = read_keys("secret-of-16-bytes another-of-16-bytes")
    check_shared(keys, "secret-of-16-bytes")
    check_shared(keys, "another-of-16-bytes")
    for wrong in ("", "secret-of-16-byte", "secret-of-16-bytes another-of-16-bytes", "\udcff"):
        with pytest.raises(Unauthorized, match="expected the secret"):
            check_shared(keys, wrong)


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("short", "at least 16 bytes, got 5"),
        ("whsec_" + base64.b64encode(b"short").decode(), "at least 16 bytes, got 5"),
        ("whsec_!", "base64"),
        (" ", "got white space"),
    ],
)
def test_secrets_that_are_none(secret: str, why: str) -> None:
    """A secret that can be guessed is refused, without repeating it."""
    with pytest.raises(ValueError, match=why) as raised:
        read_keys(secret)
    assert secret.strip() == "" or secret not in str(raised.value)
