"""Tests of hub.core.grant."""

from __future__ import annotations

from hub.core.grant import Grant


def test_a_grant_allows_what_its_patterns_take() -> None:
    """Reading and publishing have patterns of their own, of which any one suffices."""
    grant = Grant("desk", read=("portfolio", "positions:*"), publish=("commands",))
    assert grant.may_read("positions:acct-7")
    assert grant.may_publish("commands")
    assert not grant.may_read("commands")
    assert not grant.may_publish("portfolio")


def test_a_grant_without_patterns_allows_nothing() -> None:
    """What a token does not name, it does not allow."""
    grant = Grant("desk")
    assert not grant.may_read("portfolio")
    assert not grant.may_publish("portfolio")
