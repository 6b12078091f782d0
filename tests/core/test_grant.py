"""Tests of hub.core.grant."""

from __future__ import annotations

from hub.core.grant import Grant


def test_a_grant_allows_what_its_patterns_take() -> None:
    """Reading and publishing have patterns of their own, of which any one suffices."""
    grant = Grant("desk", read=("portfolio", "positions:*"), publish=("fills",))
    assert grant.may_read("positions:acct-7")
    assert grant.may_publish("fills")
    assert not grant.may_read("fills")
    assert not grant.may_publish("portfolio")


def test_a_grant_without_patterns_allows_nothing() -> None:
    """What a token does not name, it does not allow."""
    grant = Grant("desk")
    assert not grant.may_read("portfolio")
    assert not grant.may_publish("portfolio")


def test_commanding_is_a_right_of_its_own() -> None:
    """No pattern for publishing gives it, `*` neither; it lets its holder hear the answers."""
    publisher = Grant("desk", read=(), publish=("*", "commands", "commands:*"))
    for channel in ("commands", "commands:desk-7"):
        assert not publisher.may_command(channel)
        assert not publisher.may_publish(channel)
        assert not publisher.may_read(channel)
    commander = Grant("ann", command=("commands:desk-7",))
    assert commander.may_command("commands:desk-7")
    assert commander.may_read("commands:desk-7")
    assert not commander.may_publish("commands:desk-7")
    assert not commander.may_command("commands:desk-8")
    assert not commander.may_read("commands:desk-8")
    assert not Grant("ann", command=("*",)).may_command("positions")
    assert Grant("ann", command=("*",)).may_command("commands")
