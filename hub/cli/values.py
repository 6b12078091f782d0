"""The kinds of values that options and arguments take."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from hub.protocol.agent_commands import agent_channel, check_command_pattern
from hub.protocol.channels import check_channel, check_event, check_pattern
from hub.protocol.errors import ChannelNameError

MAX_TTL_DAYS = 3650
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")


class Duration(click.ParamType[int, str]):
    """A whole number with a unit, such as 30s, 15m, 12h or 7d; in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _DURATION.fullmatch(value)
        if not found:
            self.fail(f"expected a duration such as 30s, 15m, 12h or 7d, got {value!r}", param, ctx)
        seconds = int(found[1]) * _UNITS[found[2]]
        if seconds > MAX_TTL_DAYS * _UNITS["d"]:
            self.fail(f"expected at most {MAX_TTL_DAYS}d, got {value}", param, ctx)
        return seconds


class Name(click.ParamType[str, str]):
    """A name that the protocol's grammar allows."""

    def __init__(self, name: str, check: Callable[[str], str]) -> None:
        self.name = name
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return self._check(value)
        except ChannelNameError as error:
            self.fail(error.message, param, ctx)


DURATION = Duration()
CHANNEL = Name("channel", check_channel)
EVENT = Name("event", check_event)
PATTERN = Name("pattern", check_pattern)
AGENT = Name("agent", lambda name: agent_channel(name).partition(":")[2])
COMMAND_PATTERN = Name("pattern", check_command_pattern)
