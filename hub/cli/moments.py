"""Moments: as somebody types them, and as they are shown. Whole microseconds since the epoch."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

from hub.cli.values import DURATION

_MICROSECONDS = re.compile(r"[0-9]{16}")
_TIME_OF_DAY = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
_AGO = re.compile(r"[0-9]+[smhd]")


class Moment(click.ParamType[int, str]):
    """A date and time, a time of today, how long ago, or a `ts`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if _AGO.fullmatch(value):
            return now_us() - DURATION.convert(value, param, ctx) * 1_000_000
        if _MICROSECONDS.fullmatch(value):
            return int(value)
        try:
            moment = _read(value)
            spell(moment)
            return moment
        except (ValueError, OverflowError):
            # At either end of the calendar another zone's year may be beyond it.
            self.fail(
                "expected a time such as 2026-07-01T14:30:05Z, 14:30 (of today, here), 15m "
                f"(so long ago) or the ts of a frame, got {value!r}",
                param,
                ctx,
            )


MOMENT = Moment()


def _read(text: str) -> int:
    if _TIME_OF_DAY.fullmatch(text):
        hours, _, rest = text.partition(":")
        text = f"{datetime.now().astimezone():%Y-%m-%d}T{hours:0>2}:{rest}"
    moment = datetime.fromisoformat(text)
    # One without a zone is of here.
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def now_us() -> int:
    """This machine's clock."""
    return time.time_ns() // 1000


def spell(us: int) -> str:
    """A moment as this machine's zone has it, to the microsecond."""
    seconds, micros = divmod(us, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros).astimezone()
    return moment.isoformat(sep=" ", timespec="microseconds")
