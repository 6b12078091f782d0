"""The one table of codes."""

from __future__ import annotations

import pytest

from hub.protocol import codes
from hub.protocol.codes import TABLE, Code, should_reconnect


def test_every_code_is_in_the_table_once() -> None:
    """A code that a module can name is a row, and no number or name stands twice."""
    named = [value for value in vars(codes).values() if isinstance(value, Code)]
    assert sorted(TABLE) == sorted(named)
    assert len({code.number for code in TABLE}) == len({code.name for code in TABLE}) == len(TABLE)


@pytest.mark.parametrize("code", TABLE, ids=lambda code: code.name)
def test_codes_obey_the_rule_of_their_range(code: Code) -> None:
    """4400 to 4499 do not reconnect, 4500 to 4599 do, of RFC 6455's codes five do."""
    if code.number >= 4000:
        assert 4400 <= code.number <= 4599
        assert code.reconnect is (code.number >= 4500)
    else:
        assert code.reconnect is (code.number in (1001, 1006, 1011, 1012, 1013))
    assert should_reconnect(code.number) is code.reconnect


@pytest.mark.parametrize(
    ("number", "reconnect"),
    [(4499, False), (4599, True), (4500, True), (4600, False), (1014, False)],
)
def test_codes_to_come_follow_their_range(number: int, reconnect: bool) -> None:
    """An old client obeys a code that it does not know."""
    assert should_reconnect(number) is reconnect
