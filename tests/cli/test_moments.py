"""Moments as somebody types them."""

from __future__ import annotations

from datetime import datetime

import click
import pytest

from hub.cli.moments import MOMENT, now_us, spell


def read(text: str) -> int:
    """As an option takes it."""
    return MOMENT.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-07-01T14:30:05.25+02:00", 1782909005_250000),
        ("2026-07-01 12:30Z", 1782909000_000000),
        ("1782909005250001", 1782909005_250001),
    ],
)
def test_a_time_with_its_zone_is_exact(text: str, us: int) -> None:
    """To the microsecond, and so is a frame's ts."""
    assert read(text) == us


def test_without_a_zone_it_is_of_here() -> None:
    """Also a time of day, which is today's."""
    now = datetime.now().astimezone().replace(microsecond=0)
    here = round(now.timestamp()) * 1_000_000
    assert read(f"{now:%Y-%m-%dT%H:%M:%S}") == here
    assert read(f"{now:%H:%M:%S}") == here
    assert read(f"{now:%H:%M:%S}.000001") == here + 1
    assert read("9:05") == read("09:05:00")
    assert f"{now:%Y-%m-%d %H:%M:%S}.000007" in spell(here + 7)


def test_so_long_ago() -> None:
    """A duration counts back from now."""
    assert abs(now_us() - 900_000_000 - read("15m")) < 60_000_000


@pytest.mark.parametrize(
    "text", ["", "now", "24:61", "2026-13-01", "5", "1d2h", "9999-12-31T23:59-12:00"]
)
def test_anything_else_is_refused(text: str) -> None:
    """It says what it could have been."""
    with pytest.raises(click.BadParameter, match="expected a time such as"):
        read(text)
