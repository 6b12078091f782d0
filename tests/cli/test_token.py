"""`tapecast token`."""

from __future__ import annotations

import time

import pytest
from click.testing import CliRunner

from hub.cli.token import token
from hub.server.auth import Authenticator
from hub.server.settings import Settings

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner(env={"TAPECAST_JWT_SECRET": SECRET})


def test_the_token_alone_is_printed_and_the_hub_takes_it(runner: CliRunner) -> None:
    """What `$(tapecast token ...)` captures is a token with the rights asked for."""
    asked = ["ann", "--read", "positions:*", "--read", "portfolio", "--publish", "*", "--ttl", "7d"]
    printed = runner.invoke(token, asked)
    assert (printed.exit_code, printed.stderr) == (0, "")
    grant = Authenticator(Settings(jwt_secret=SECRET), time.time).authenticate(
        printed.stdout.removesuffix("\n")
    )
    assert (grant.subject, grant.read, grant.publish) == (
        "ann",
        ("positions:*", "portfolio"),
        ("*",),
    )
    assert grant.expires_at is not None
    assert 0 <= time.time() + 7 * 86_400 - grant.expires_at < 60


def test_a_token_without_rights_is_made_with_a_word(runner: CliRunner) -> None:
    """The warning goes to standard error, where no script takes it for the token."""
    printed = runner.invoke(token, ["ann"])
    assert printed.exit_code == 0
    assert "may do nothing" in printed.stderr
    assert printed.stdout.count(".") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ann", "--read", "Positions"], "expected a channel pattern"),
        (["ann", "--ttl", "12"], "expected a duration such as 30s, 15m, 12h or 7d, got '12'"),
        (["ann", "--ttl", "0s"], "expected a duration"),
        (["ann", "--ttl", "4000d"], "expected at most 3650d, got 4000d"),
        ([""], "expected a subject"),
        ([], "Missing argument 'SUBJECT'"),
    ],
)
def test_wrong_use_says_what_was_expected(
    runner: CliRunner, arguments: list[str], said: str
) -> None:
    """Exit status 2, the reason on standard error, and no token."""
    failed = runner.invoke(token, arguments)
    assert failed.exit_code == 2
    assert said in failed.stderr
    assert failed.stdout == ""


@pytest.mark.parametrize("secret", ["", "short"])
def test_without_a_secret_no_token_is_made(runner: CliRunner, secret: str) -> None:
    """Without one it says how to make one; a short one is refused."""
    failed = runner.invoke(token, ["ann", "--read", "*"], env={"TAPECAST_JWT_SECRET": secret})
    assert failed.exit_code == 2
    assert ("at least 32 bytes" if secret else "openssl rand") in failed.stderr
    assert failed.stdout == ""
