"""The command itself: finding sub-commands, and saying what is wrong."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import click
import pytest
from click.testing import CliRunner

import hub
import hub.cli


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """One command of somebody else's that works, and three that do not."""
    places = {
        "fine": "tests.cli.test_main:fine",
        "gone": "no.such.module:command",
        "raises": "tests.cli.test_main:missing",
        "other": "tests.cli.test_main:hub",
    }
    found = EntryPoints(EntryPoint(name, place, hub.cli.COMMANDS) for name, place in places.items())
    monkeypatch.setattr(hub.cli, "entry_points", found.select)


@click.command(short_help="Say so.")
def fine() -> None:
    click.echo("fine")


@pytest.mark.usefixtures("strangers")
def test_a_broken_command_breaks_nothing_else() -> None:
    """It stands in the list as what it is, and the others work."""
    shown = CliRunner().invoke(hub.cli.main, ["--help"])
    assert shown.exit_code == 0
    assert "fine    Say so." in shown.output
    assert shown.output.count("(cannot be loaded)") == 3
    assert CliRunner().invoke(hub.cli.main, ["fine"]).output == "fine\n"


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gone", "no.such.module:command: ModuleNotFoundError"),
        ("raises", "tests.cli.test_main:missing: AttributeError"),
        ("other", "tests.cli.test_main:hub: expected a click command, got <module 'hub'"),
    ],
)
def test_a_broken_command_says_why(name: str, why: str) -> None:
    """Called by name, whatever its arguments, it fails with the reason."""
    failed = CliRunner().invoke(hub.cli.main, [name, "--some", "thing"])
    assert failed.exit_code == 1
    assert f"the command {name} cannot be loaded. {why}" in failed.output


def test_an_unknown_command_is_wrong_use() -> None:
    """The nearest one is named."""
    failed = CliRunner().invoke(hub.cli.main, ["serv"])
    assert failed.exit_code == 2
    assert "Did you mean" in failed.output
    assert "serve" in failed.output


@pytest.mark.parametrize("arguments", [["tail", "decisions"], ["produce", "paper"], ["channels"]])
def test_a_misspelled_setting_is_wrong_use_for_every_command(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """Clients and producers once went on without the setting that was meant."""
    monkeypatch.setenv("TAPECAST_TOKN", "secret")
    failed = CliRunner().invoke(hub.cli.main, arguments)
    assert failed.exit_code == 2
    assert "unknown setting in the environment: TAPECAST_TOKN" in failed.output
    assert "Did you mean TAPECAST_TOKEN?" in failed.output
    assert "secret" not in failed.output


def test_the_version_is_told() -> None:
    """`tapecast --version` is what a bug report begins with."""
    assert hub.__version__ in CliRunner().invoke(hub.cli.main, ["--version"]).output


def test_the_commands_load_nothing_heavy() -> None:
    """`tapecast --help`, which loads each command, stays quick: no server, no Redis, no tables."""
    code = "import sys, hub.cli\nfor entry in hub.cli.entry_points(group=hub.cli.COMMANDS):\n"
    code += "    entry.load()\nprint(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(shown.stdout.splitlines()[-1].split())
    heavy = {"jwt", "redis", "rich", "starlette", "uvicorn", "watchfiles", "websockets"}
    assert loaded & heavy == set()


def test_the_module_is_the_command() -> None:
    """`python -m hub.cli` works where the script is not on the path."""
    command = [sys.executable, "-m", "hub.cli", "--version"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert shown.startswith("tapecast, version")
