"""The command line, a module a command.

Commands are found by the entry point group `tapecast.commands`, so any installed distribution can
add one, and one that is broken breaks nothing but itself. A command's module imports what it needs
when it runs, so that `tapecast --help` stays quick.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import entry_points

import click

import hub

COMMANDS = "tapecast.commands"


class Commands(click.Group):
    """The commands that are installed, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(entry_points(group=COMMANDS).names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = entry_points(group=COMMANDS, name=cmd_name)
        if not found:
            return None
        entry = next(iter(found))
        try:
            command = entry.load()
        except Exception as error:  # a stranger's module may fail in any way
            return _broken(cmd_name, f"{entry.value}: {type(error).__name__}: {error}")
        if not isinstance(command, click.Command):
            return _broken(cmd_name, f"{entry.value}: expected a click command, got {command!r}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:  # which knows no command, and so no near one
            names = self.list_commands(ctx)
            raise click.NoSuchCommand(error.command_name, possibilities=names, ctx=ctx) from None


def _broken(name: str, why: str) -> click.Command:
    """A command that stands in the list for one that cannot be loaded, and fails saying why."""

    def fail() -> None:
        raise click.ClickException(f"the command {name} cannot be loaded. {why}")

    return click.Command(
        name,
        callback=fail,
        short_help="(cannot be loaded)",
        # Whatever the command would have taken.
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(hub.__version__, prog_name="tapecast")
def main() -> None:
    """A broadcast hub for trading systems.

    \b
    Examples:
      tapecast demo                        everything on this machine, to look at
      tapecast serve --embedded            a hub with a Valkey of its own
      tapecast token ann --read '*'        a token for a dashboard
      tapecast tail portfolio positions    watch channels in the terminal
    """
    _check_environment(os.environ)


def _check_environment(environ: Mapping[str, str]) -> None:
    """Refuse a misspelled setting, whichever command it was meant for; click.UsageError."""
    if any(name.startswith("TAPECAST_") for name in environ):
        from hub.server.settings import SettingsError, check_names

        try:
            check_names(environ)
        except SettingsError as error:
            raise click.UsageError(str(error)) from None
