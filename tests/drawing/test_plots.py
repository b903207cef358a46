"""Charts for a page: places, escaped texts, round ticks."""

from xml.etree import ElementTree as ET

import pytest

from lionpride.drawing.chart import Bar, Span
from lionpride.drawing.plots import bars_in_lanes, gauge, lines, nice_top, stacks
from lionpride.drawing.svg import Axis, element, round_step, text

AXIS = Axis(100.0, 200.0, lambda at: f"{at:g} <s>", marks=4)
SVG = "{http://www.w3.org/2000/svg}"


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # our own text


def of_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [each for each in root.iter() if name in each.get("class", "").split()]


def test_a_column_is_at_its_time_and_as_high_as_its_parts() -> None:
    moments = [
        (100.0, [("s-good", 2.0), ("s-bad", 0.0)]),
        (150.0, [("s-good", 1.0), ("s-bad", 3.0)]),
    ]
    chart = parsed(stacks(moments, 50.0, AXIS, "what & why", height=136))
    areas = of_class(chart, "area")
    assert [each.get("x") for each in areas] == ["0.000%", "50.000%", "50.000%"]
    assert [float(each.get("height", 0)) for each in areas] == [50.0, 25.0, 75.0]
    assert chart.get("aria-label") == "what & why"
    assert chart.get("role") == "img"
    said = [each.text for each in chart.iter("title")]
    assert said == ["100 <s>: 2 good", "150 <s>: 1 good, 3 bad"]


def test_a_line_is_broken_where_a_value_is_missing() -> None:
    points = [(100.0, 1.0), (120.0, 2.0), (140.0, None), (160.0, 4.0)]
    chart = parsed(lines([("p50", points), ("p95", [])], AXIS, "waits", unit="{:g}".format))
    (line,) = of_class(chart, "line")
    assert line.get("d") == "M0.00 75.00h.4L20.00 50.00M60.00 0.00h.4"


def test_a_bar_is_cut_at_the_edges_and_has_a_link() -> None:
    bars = [
        Bar(Span(90.0, 90.0, 110.0, "failed", "<one>\x00\ud800", "/1?a&b"), 90.0, 110.0, 0, 0.0),
        Bar(Span(150.0, 150.0, 900.0, "completed", "two", "/2"), 150.0, 900.0, 2, 0.0),
    ]
    chart = parsed(bars_in_lanes(bars, 3, AXIS, "timeline"))
    drawn = of_class(chart, "bar")
    assert [(e.get("x"), e.get("width")) for e in drawn] == [
        ("0.000%", "10.000%"),
        ("50.000%", "50.000%"),
    ]
    links = list(chart.iter("a"))
    assert [each.get("href") for each in links] == ["/1?a&b", "/2"]
    assert [each.get("tabindex") for each in links] == ["0", "-1"]
    assert links[0].get("aria-label") == "<one>"


def test_a_gauge_is_never_more_than_full() -> None:
    widths = [of_class(parsed(gauge(share, "x")), "full")[0].get("width") for share in (-1, 0.5, 7)]
    assert widths == ["0.0%", "50.0%", "100.0%"]


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (0.9, 1), (1, 1), (1.2, 2), (47, 50), (700, 800)]
)
def test_the_top_is_round(most: float, top: float) -> None:
    assert nice_top(most) == pytest.approx(top)


@pytest.mark.parametrize(
    ("wanted", "step"), [(0.003, 0.005), (0.3, 0.5), (1, 1), (7, 10), (70, 120), (90_000, 172_800)]
)
def test_steps_of_time_are_round(wanted: float, step: float) -> None:
    assert round_step(wanted) == pytest.approx(step)


@pytest.mark.parametrize(
    ("begin", "end", "ticks"),
    [
        (0.0, 12.0, [0, 5, 10]),
        (7.0, 31.0, [10, 20, 30]),
        (0.0, 0.3, [0, 0.1, 0.2, 0.3]),
        (5.0, 5.0, [5]),
    ],
)
def test_ticks_are_round_times_on_the_axis(begin: float, end: float, ticks: list[float]) -> None:
    axis = Axis(begin, end, str, marks=3, left=10.0, width=600.0, unit="")
    assert axis.ticks() == pytest.approx(ticks)
    drawn = parsed(element("svg", *axis.draw(0, 9, 20, {"class_": "grid"}, {"class_": "mark"})))
    places = [float(each.get("x1", "")) for each in of_class(drawn, "grid")]
    assert places == pytest.approx([axis.x(at) for at in ticks], abs=0.01)
    assert all(10.0 <= x <= 610.0 for x in places)


def test_labels_at_the_edges_of_a_page_chart_stay_inside() -> None:
    axis = Axis(0.0, 60.0, "{:g} s".format, marks=4)
    marks = of_class(parsed(bars_in_lanes([], 1, axis, "x")), "mark")
    anchors = [each.get("text-anchor") for each in marks]
    assert (anchors[0], anchors[1], anchors[-1]) == ("start", "middle", "end")


def test_text_and_attributes_are_escaped() -> None:
    words = "<a href='x'>&\x00\ud800\n\"b\""
    found = parsed(element("text", text(words), text_anchor='"<&', x=1.23456, y=100, class_="c"))
    assert found.text == "<a href='x'>& \"b\""
    assert found.attrib == {"text-anchor": '"<&', "x": "1.2346", "y": "100", "class": "c"}
