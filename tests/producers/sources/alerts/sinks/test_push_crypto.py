"""producers/sources/alerts/sinks/push_crypto: against the vectors of the RFCs, and both ways."""

from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hub.protocol.push import check_point, from_base64url, to_base64url
from producers.sources.alerts.sinks.push_crypto import (
    MAX_TEXT_BYTES,
    VAPID_SECONDS,
    Vapid,
    encrypt,
    new_keys,
)
from tests.support.push_service import CURVE, Browser

ENDPOINT = "https://push.services.mozilla.com/wpush/v2/abc"


def test_the_example_of_rfc_8291() -> None:
    """Appendix A: with its keys and salt the body is the one that it shows, byte by byte."""
    private = from_base64url("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
    body = encrypt(
        b"When I grow up, I want to be a watermelon",
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "BTBZMqHH6r4Tts7J_aSIgg",
        key=ec.derive_private_key(int.from_bytes(private), CURVE),
        salt=from_base64url("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert to_base64url(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmY"
        "WAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexS"
        "gSxsj_Qulcy4a-fN"
    )


def test_a_browser_reads_what_was_encrypted_for_it() -> None:
    """The longest text fits into the 4096 bytes that every push service takes; one more does not.
    Two messages have nothing in common."""
    browser = Browser("https://push.example", "one", "")
    keys = browser.to_json()["keys"]
    text = b"x" * MAX_TEXT_BYTES
    one, other = (encrypt(text, keys["p256dh"], keys["auth"]) for _ in range(2))
    assert browser.decrypt(one) == browser.decrypt(other) == text
    assert len(one) == 4096
    assert one[:86] != other[:86]
    with pytest.raises(ValueError, match=f"at most {MAX_TEXT_BYTES} bytes, got"):
        encrypt(text + b"x", keys["p256dh"], keys["auth"])


def test_a_pair_of_keys_signs_and_is_verified() -> None:
    """The header says for whom, until when and by whom, as RFC 8292 has it, and how to check it."""
    private, public = new_keys()
    check_point(public)
    vapid = Vapid(private, "mailto:ops@example.com")
    assert vapid.public_key == public
    header = vapid.authorization(ENDPOINT, 1_000.0)
    token, shown = header.removeprefix("vapid t=").split(", k=")
    assert shown == public
    key = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, from_base64url(public))
    claims = jwt.decode(token, key, ["ES256"], options={"verify_exp": False, "verify_aud": False})
    assert claims == {
        "aud": "https://push.services.mozilla.com",
        "exp": 1_000 + VAPID_SECONDS,
        "sub": "mailto:ops@example.com",
    }


def test_a_signature_is_made_once_and_renewed_in_time() -> None:
    """One is shown to a push service until an hour before its end; another service gets its own."""
    vapid = Vapid(new_keys()[0], "mailto:ops@example.com")
    first = vapid.authorization(ENDPOINT, 0.0)
    assert vapid.authorization(f"{ENDPOINT}d", VAPID_SECONDS - 3600) == first
    assert vapid.authorization(ENDPOINT, VAPID_SECONDS - 3599) != first
    assert vapid.authorization("https://web.push.apple.com/abc", 0.0) != first


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "32 bytes, got 0"),
        ("AAAA", "32 bytes, got 3"),
        ("not base64url!", "expected base64url"),
        ("A" * 43, "expected a private key of P-256"),
        ("_" * 42 + "8", "expected a private key of P-256"),
    ],
)
def test_a_private_key_that_is_none_is_refused(key: str, said: str) -> None:
    """Too short, no base64url, or no number below the order of the curve."""
    with pytest.raises(ValueError, match=said):
        Vapid(key, "mailto:ops@example.com")
