"""Plots as SVG, without a library: bars, and lines over a logarithmic axis.

A plot is panels side by side; text is the viewer's own sans serif on white.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.report import Spread

OWN = "#0b6bcb"
FLOOR = "#8a8a8a"
PEER = "#b9c4d0"
COLOURS = (OWN, FLOOR, "#c2410c", "#15803d", "#7c3aed")
INK = "#1f2933"
GRID = "#e3e8ee"
LINES_WIDTH, LINES_HEIGHT = 460, 300
BARS_WIDTH, BAR = 460, 24


class Panel:
    """A part of a plot: its size, and its elements."""

    def __init__(self, title: str, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.elements = [text(0, 18, title, weight="600", size=14)]


def figure(panels: Sequence[Panel], columns: int = 2) -> str:
    """All panels, so many in a row."""
    margin, gap = 16, 28
    rows = [panels[at : at + columns] for at in range(0, len(panels), columns)]
    width = max(sum(p.width for p in row) + gap * (len(row) - 1) for row in rows) + 2 * margin
    body, y = [], float(margin)
    for row in rows:
        x = float(margin)
        for panel in row:
            body.append(f'<g transform="translate({x:g} {y:g})">{"".join(panel.elements)}</g>')
            x += panel.width + gap
        y += max(panel.height for panel in row) + gap
    height = y - gap + margin
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="system-ui, sans-serif">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def bars(
    title: str,
    figures: Mapping[str, Spread],
    form: str = ",.1f",
    *,
    names_width: int = 150,
    most: float = math.inf,
) -> Panel:
    """A bar for each name, as long as its median, with a whisker from least to greatest.

    A bar above `most` is cut there, and looks it.
    """
    right = 70
    panel = Panel(title, BARS_WIDTH, 32 + BAR * len(figures))
    greatest = max((figure.max for figure in figures.values()), default=0) or 1
    scale = (BARS_WIDTH - names_width - right) / min(greatest, most)
    compared = "tapecast" in figures or "floor" in figures
    for number, (name, value) in enumerate(figures.items()):
        y = 32 + BAR * number
        peer = compared and not name.startswith("tapecast")
        colour = FLOOR if name == "floor" else PEER if peer else OWN
        low, median, high = (
            names_width + min(figure, most) * scale
            for figure in (value.min, value.median, value.max)
        )
        middle = y + BAR / 2 - 3
        panel.elements += [
            text(names_width - 8, middle + 4, name, anchor="end"),
            box(names_width, y, max(1, median - names_width), BAR - 6, colour),
            line(low, middle, high, middle, INK),
            text(high + 6, middle + 4, format(value.median, form)),
        ]
        if value.median > most:
            panel.elements.append(box(median - 24, y, 6, BAR - 6, "#ffffff"))
    return panel


def lines(
    title: str,
    x_label: str,
    series: Mapping[str, Mapping[int, float]],
    *,
    log_y: bool = False,
    form: str = ",g",
) -> Panel:
    """A line for each name over x, which is logarithmic where it spans more than one decade."""
    left, top, bottom, right = 56, 58, 44, 12
    panel = Panel(title, LINES_WIDTH, LINES_HEIGHT)
    xs = sorted({x for points in series.values() for x in points})
    ys = [y for points in series.values() for y in points.values()]
    ticks = _decades(min(ys), max(ys)) if log_y else _steps(max(ys))
    log_x = xs[0] > 0 and xs[-1] / xs[0] > 10

    def along(value: float, low: float, high: float, log: bool) -> float:
        if log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return (value - low) / (high - low) if high > low else 0.5

    def at(x: float, y: float) -> tuple[float, float]:
        across = LINES_WIDTH - left - right
        down = LINES_HEIGHT - top - bottom
        share = along(max(y, ticks[0]), ticks[0], ticks[-1], log_y)
        return left + across * along(x, xs[0], xs[-1], log_x), top + down * (1 - share)

    for tick in ticks:
        _, y = at(xs[0], tick)
        panel.elements += [
            line(left, y, LINES_WIDTH - right, y, GRID),
            text(left - 6, y + 4, format(tick, form), anchor="end", size=11),
        ]
    for x in xs:
        across, _ = at(x, ticks[0])
        panel.elements.append(
            text(across, LINES_HEIGHT - bottom + 18, f"{x:,}", anchor="middle", size=11)
        )
    panel.elements.append(text((left + LINES_WIDTH) / 2, LINES_HEIGHT - 4, x_label, "middle"))
    legend = float(left)
    for (name, points), colour in zip(series.items(), COLOURS, strict=False):
        places = [at(x, y) for x, y in sorted(points.items())]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        panel.elements += [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
            *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places),
            box(legend, 32, 10, 10, colour),
            text(legend + 14, 41, name),
        ]
        legend += 14 + 7.2 * len(name) + 16
    return panel


def text(
    x: float, y: float, words: str, anchor: str = "start", size: int = 12, weight: str = "400"
) -> str:
    """One line of text."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{INK}">{escape(words)}</text>'
    )


def box(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A filled rectangle."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" '
        f'fill="{colour}"/>'
    )


def line(x: float, y: float, to_x: float, to_y: float, colour: str) -> str:
    """One thin line."""
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}"/>'


def _steps(most: float) -> list[float]:
    """From 0 in round steps to the first above the greatest value."""
    step = 10.0 ** math.floor(math.log10(most)) if most > 0 else 1.0
    while most / step > 6:
        step *= 2
    while most / step < 3:
        step /= 2
    return [step * number for number in range(math.ceil(most / step) + 1)]


def _decades(least: float, most: float) -> list[float]:
    """Powers of ten around all values."""
    first = math.floor(math.log10(least)) if least > 0 else -3
    return [10.0**power for power in range(first, math.ceil(math.log10(most)) + 1)]
