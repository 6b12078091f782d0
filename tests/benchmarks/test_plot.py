"""Plots: that they are well-formed, and that what is larger is drawn longer."""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.plot import bars, figure, lines
from benchmarks.report import Spread

SVG = "{http://www.w3.org/2000/svg}"


def elements(svg: str, tag: str) -> list[ElementTree.Element]:
    """All elements of one tag."""
    return list(ElementTree.fromstring(svg).iter(SVG + tag))  # noqa: S314 (our own text)


def test_a_bar_is_as_long_as_its_median() -> None:
    """Twice the figure is twice the length; names are escaped."""
    svg = figure([bars("a <b>", {"one": Spread(1, 1, 1), "two & more": Spread(2, 2, 2)})])
    widths = [float(box.attrib["width"]) for box in elements(svg, "rect")[1:]]
    assert widths[1] == 2 * widths[0]
    assert next(text.text for text in elements(svg, "text")) == "a <b>"


def test_lines_rise_with_their_values() -> None:
    """Larger values are drawn higher, and equal decades are equally far apart."""
    series = {"own": {1: 1.0, 10: 5.0, 100: 10.0}}
    svg = figure([lines("t", "x", series), lines("t", "x", series, log_y=True)])
    for drawn in elements(svg, "polyline"):
        points = [tuple(map(float, point.split(","))) for point in drawn.attrib["points"].split()]
        (x1, y1), (x2, y2), (x3, y3) = points
        assert y1 > y2 > y3
        assert abs((x2 - x1) - (x3 - x2)) < 0.2


def test_panels_stand_side_by_side() -> None:
    """A figure is as wide as its widest row."""
    panel = bars("one", {"a": Spread(1, 1, 1)})
    one, two = (float(elements(figure([panel] * n), "svg")[0].attrib["width"]) for n in (1, 2))
    assert two > one + panel.width
