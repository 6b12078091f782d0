"""What a client raises for a refusal."""

from __future__ import annotations

import pytest

from hub.client.errors import ClientError, Forbidden, Refused, Unauthorized, refused


@pytest.mark.parametrize(
    ("code", "type"),
    [(4401, Unauthorized), (4408, Unauthorized), (4403, Forbidden), (4404, Refused)],
)
def test_refusal_has_the_type_of_its_code(code: int, type: type[Refused]) -> None:
    """A refusal is told apart by type where an application decides by it, by code elsewhere."""
    error = refused(code, "no")
    assert error.__class__ is type
    assert isinstance(error, ClientError)
    assert (error.code, error.message, str(error)) == (code, "no", f"no ({code})")


def test_refusal_without_a_reason_names_its_code() -> None:
    """A close without a reason still says what happened."""
    assert str(refused(4400, "")) == "refused (4400)"
