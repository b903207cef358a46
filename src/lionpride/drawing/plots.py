"""Small charts for a page, as SVG of any width, with the colours of its style sheet.

Positions along the page are in percent and heights in pixels, so text keeps its size.
Elements have classes (``s-failed``, ``p95``) and no colours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .chart import Bar
from .svg import Attributes, Axis, element, round_up, text
from .text import one_line

__all__ = ["bars_in_lanes", "gauge", "lines", "nice_top", "stacks"]

TOP, BOTTOM = 16, 20  # pixels above and below the plot, for labels


def stacks(
    moments: Sequence[tuple[float, Sequence[tuple[str, float]]]],
    width: float,
    axis: Axis,
    label: str,
    *,
    height: int = 132,
    unit: Callable[[float], str] = "{:,.0f}".format,
) -> str:
    """Return a chart with a stacked column for each moment.

    Args:
        moments: The begin of each, and its parts from the bottom up: a class, and an amount.
        width: Length of a moment in seconds.
        axis: The time.
        label: A description of the chart.
        height: Height in pixels.
        unit: Returns the text of an amount.
    """
    top = nice_top(max((sum(n for _, n in parts) for _, parts in moments), default=0.0))
    scale = (height - TOP - BOTTOM) / top
    across = width * axis.scale
    drawn = []
    for at, parts in moments:
        y, words = float(height - BOTTOM), []
        for kind, amount in parts:
            if amount:
                high = max(1.0, amount * scale)
                y -= high
                drawn.append(_rect(axis.x(at), y, across * 0.82, high, f"area {kind}"))
                words.append(f"{unit(amount)} {kind.removeprefix('s-')}")
        if words:
            drawn.append(_tooltip(axis, at, across, height, words))
    return _chart(height, axis, label, drawn, top=unit(top))


def lines(
    series: Sequence[tuple[str, Sequence[tuple[float, float | None]]]],
    axis: Axis,
    label: str,
    *,
    height: int = 132,
    unit: Callable[[float], str],
) -> str:
    """Return a chart with a line for each series; it is broken where a value is missing.

    Args:
        series: A class each, and its points: a time, and an amount.
        axis: The time.
        label: A description of the chart.
        height: Height in pixels.
        unit: Returns the text of an amount.
    """
    known = [value for _, points in series for _, value in points if value is not None]
    top = nice_top(max(known, default=0.0))
    paths: list[str] = []
    columns: dict[float, list[str]] = {}
    for kind, points in series:
        path, is_drawing = "", False
        for at, value in points:
            if value is not None:
                place = f"{axis.x(at):.2f} {100 - 100 * value / top:.2f}"
                path += f"L{place}" if is_drawing else f"M{place}h.4"  # a single point is visible
                columns.setdefault(at, []).append(f"{kind} {unit(value)}")
            is_drawing = value is not None
        if path:
            paths.append(element("path", class_=f"line {kind}", d=path))
    inner = element(
        "svg",
        *paths,
        x=0,
        y=TOP,
        width="100%",
        height=height - TOP - BOTTOM,
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
        class_="inner",
    )
    across = 100 / max((len(points) for _, points in series if points), default=1)
    tooltips = [
        _tooltip(axis, at, across, height, words, shift=-across / 2)
        for at, words in columns.items()
    ]
    return _chart(height, axis, label, [inner, *tooltips], top=unit(top))


def bars_in_lanes(
    bars: Iterable[Bar], lanes: int, axis: Axis, label: str, *, pitch: int = 14, least: int = 1
) -> str:
    """Return a timeline: bars in lanes, each with a link and a tooltip.

    Args:
        bars: The bars; parts outside of the axis are cut off.
        lanes: The number of lanes.
        axis: The time.
        label: A description of the chart.
        pitch: Height of a lane in pixels.
        least: Minimum number of lanes to leave space for.
    """
    height = TOP + BOTTOM + max(least, lanes) * pitch
    thick = pitch - (3 if pitch >= 10 else 1)
    drawn = []
    for i, bar in enumerate(bars):
        span, x = bar.span, max(0.0, axis.x(bar.start))
        wide = max(0.12, min(100.0, axis.x(bar.end)) - x)
        title, kind = element("title", text(span.label)), f"bar s-{span.status}"
        rect = _rect(x, TOP + bar.lane * pitch, wide, thick, kind, title, rx=1.5)
        where, words = -1 if i else 0, one_line(span.label)
        drawn.append(element("a", rect, href=span.link, tabindex=where, aria_label=words))
    return _chart(height, axis, label, [element("g", *drawn, class_="bars")], role="group")


def gauge(share: float, label: str, kind: str = "") -> str:
    """Return a bar that is filled to a share from 0 to 1.

    Args:
        share: The share; more than 1 is drawn as 1.
        label: A description of the chart.
        kind: A CSS class of the filled part.
    """
    wide = 100 * min(1.0, max(0.0, share))
    track = element("rect", class_="track", width="100%", height=8, rx=4)
    full = element("rect", class_=f"full {kind}", width=f"{wide:.1f}%", height=8, rx=4)
    words = one_line(label)
    return element(
        "svg", track, full, class_="gauge", width="100%", height=8, role="img", aria_label=words
    )


def nice_top(most: float) -> float:
    """Return a round number that is not below the largest amount of a chart."""
    return round_up(most, (1, 2, 3, 4, 5, 6, 8, 10)) if most > 0 else 1.0


def _chart(
    height: int, axis: Axis, label: str, drawn: Sequence[str], *, top: str = "", role: str = "img"
) -> str:
    """Return a chart: the axis, the drawn parts, and a line with a label at the top."""
    bottom = height - BOTTOM
    parts = [
        *axis.draw(TOP, bottom, height - 5, {"class_": "grid"}, {"class_": "mark"}),
        element("line", class_="ground", x1=0, x2="100%", y1=bottom, y2=bottom),
        *drawn,
    ]
    if top:
        parts.append(element("line", class_="grid", x1=0, x2="100%", y1=TOP, y2=TOP))
        parts.append(element("text", text(top), class_="mark level", x=0, y=TOP - 4))
    words = one_line(label)
    return element(
        "svg", *parts, class_="chart", width="100%", height=height, role=role, aria_label=words
    )


def _rect(
    x: float, y: float, wide: float, high: float, kind: str, *content: str, rx: float = 0.0
) -> str:
    place: Attributes = {"x": f"{x:.3f}%", "y": y, "width": f"{wide:.3f}%", "height": high}
    return element("rect", *content, class_=kind, **place, rx=rx)


def _tooltip(
    axis: Axis, at: float, wide: float, height: int, words: Sequence[str], shift: float = 0.0
) -> str:
    """Return an invisible area with a tooltip."""
    title = element("title", text(f"{axis.write(at)}: {', '.join(words)}"))
    return _rect(axis.x(at) + shift, TOP, wide, height - TOP - BOTTOM, "hover", title)
