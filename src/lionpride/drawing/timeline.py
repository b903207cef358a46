"""Picture of a run: the events in each slot over time, and the number of waiting events.

``draw`` takes spans and returns a standalone SVG as text, without scripts and external references.
The same spans have the same text.

A bar that is wide enough is drawn as it is. The narrower bars of a slot are merged into columns,
whose height is the use of the slot. So the picture of 20,000 events is as small, and opens as
quickly, as the picture of 500.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from .chart import (
    BAND,
    LEFT,
    PLOT,
    RETRIED,
    RIGHT,
    TOP,
    WIDTH,
    Bar,
    Chart,
    Span,
    kind_of,
    percentile,
)
from .svg import Attributes, element, text
from .text import duration, fitting, plural, rate, shorten, text_width

__all__ = ["COLOURS", "Span", "draw"]

# The palette of Okabe and Ito: distinct with every kind of colour vision, and in grey.
COLOURS = {
    "completed": "#0072B2",
    "failed": "#D55E00",
    "cancelled": "#CC79A7",
    "aborted": "#2B2B2B",
    "skipped": "#56B4E9",
    "processing": "#E69F00",
    "pending": "#CFCFCF",
    RETRIED: "#767676",
}
DARK_INK = {"skipped", "processing", "cancelled"}  # bars that are too light for white text
NAMES = {"processing": "stopped while running", "pending": "not started"}

_CLASS = "lionpride-timeline"
_DARK = {
    "": "fill:#e8e8e8",
    " .ground": "fill:#16191f",
    " .row": "fill:#ffffff",
    " [fill='#4a4a4a']": "fill:#b8bdc6",
    " [fill='#757575']": "fill:#9aa1ab",
    " [stroke='#e3e3e3']": "stroke:#333943",
    " [fill='#2B2B2B']": "stroke:#a8a8a8",  # aborted: a dark bar needs an edge
}
"""Rules of the dark theme. Bars, and the text on them, keep their colours."""

_NOTEBOOKS = ":is([theme=dark],[data-theme=dark],[data-jp-theme-light=false],.vscode-dark)"
"""Selector of notebooks with a dark theme of their own, whatever the system prefers."""


def _rules(around: str) -> str:
    return "".join(f"{around}.{_CLASS}{part}{{{rule}}}" for part, rule in _DARK.items())


_STYLE = f"@media (prefers-color-scheme:dark){{{_rules('')}}}{_rules(f'{_NOTEBOOKS} ')}"

INK, GREY, LIGHT, LINE = "#1a1a1a", "#4a4a4a", "#757575", "#e3e3e3"
EVERY_BAR = 2_000  # up to so many bars, each is an element with a tooltip
NARROW = 3.0  # with more bars, those narrower than this many pixels are merged into columns
COLUMN = 2.0  # width of such a column in pixels
COLUMNS = int(PLOT / COLUMN)


def draw(spans: Sequence[Span], title: str) -> str:
    """Return the SVG of a run; ``title`` names the job."""
    chart = Chart(spans)
    height = round(chart.band_bottom + 54)
    parts = [
        "",
        element("title", text(title)),
        element("style", _STYLE),
        element("rect", width=WIDTH, height=height, fill="#ffffff", class_="ground"),
        *_header(chart, title),
        *chart.axis.draw(
            TOP - 6, chart.band_bottom, chart.band_bottom + 20, {"stroke": LINE}, {"fill": GREY}
        ),
        _end_text(chart.band_bottom + 40, _note(chart)),
        *_slots(chart),
        *_bars(chart),
        *_waiting(chart),
        "",
    ]
    picture = element(
        "svg",
        "\n".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        width=WIDTH,
        height=height,
        role="img",
        class_=_CLASS,
        font_family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
        font_size=12,
        fill=INK,
    )
    return f"{picture}\n"


# ------------------------------------------------------------------ the frame around the bars


def _header(chart: Chart, title: str) -> Iterator[str]:
    """Yield the title, the statistics of the run, and the legend with a count for each status."""
    seconds, waits = chart.seconds, chart.waits
    pace = f" · {rate(chart.settled / seconds)}" if seconds > 0 and chart.settled else ""
    part = f"{chart.settled:,} of " if chart.settled < chart.events else ""
    statistics = (
        f"{part}{plural(chart.events, 'event')} in {duration(seconds)}{pace} · "
        f"{plural(chart.lanes, 'slot')} in use · queue wait p50 "
        f"{duration(percentile(waits, 0.5))}, p95 {duration(percentile(waits, 0.95))}"
    )
    name = text(shorten(title, 72))
    yield element("text", name, x=LEFT, y=38, font_size=21, font_weight=600)
    yield element("text", text(statistics), x=LEFT, y=62, font_size=14, fill=GREY)
    x = float(LEFT)
    for kind, colour in COLOURS.items():
        if number := chart.counts.get(kind):
            words = f"{NAMES.get(kind, kind)} {number:,}"
            yield element("rect", x=x, y=78, width=13, height=13, rx=2.5, fill=colour)
            yield element("text", text(words), x=x + 19, y=89, font_size=13)
            x += 19 + text_width(words, 13) + 24


def _end_text(y: float, words: str) -> str:
    """Return a text that ends at the right margin."""
    return element("text", text(words), x=WIDTH - RIGHT, y=y, text_anchor="end", fill=LIGHT)


def _note(chart: Chart) -> str:
    """Return one line on how to read this picture."""
    if chart.shared > 1:
        return f"a row is {chart.shared} slots; the height of a column is how busy they were"
    if len(chart.bars) > EVERY_BAR:
        return "short events are merged into columns; their height is how busy the slot was"
    return "thin line: the event waits while its slot is free; point at a bar for details"


def _slots(chart: Chart) -> Iterator[str]:
    """Yield the empty rows, and the numbers of some of them."""
    rows = "".join(
        f"M{LEFT} {chart.y(row):.1f}h{PLOT}v{chart.height:.1f}h-{PLOT}z"
        for row in range(chart.rows)
    )
    yield element("path", d=rows, fill=INK, fill_opacity="0.045", class_="row")
    yield element("text", "slot", x=LEFT - 10, y=TOP - 10, text_anchor="end", fill=LIGHT)
    every = next(n for n in (1, 2, 5, 10) if n * chart.pitch >= 14)
    for row in range(chart.rows):
        number = row * chart.shared + 1
        if row == 0 or (row if chart.shared > 1 else number) % every == 0:
            yield _row_label(chart.y(row) + chart.height / 2 + 4, str(number))


def _row_label(y: float, words: str) -> str:
    """Return a label to the left of the plot."""
    return element("text", words, x=LEFT - 10, y=y, text_anchor="end", fill=GREY)


# ------------------------------------------------------------------------------------ the bars


def _bars(chart: Chart) -> Iterator[str]:
    if len(chart.bars) <= EVERY_BAR and chart.shared == 1:
        yield from (_bar(chart, bar) for bar in chart.bars)
    else:
        yield from _merged(chart)


def _bar(chart: Chart, bar: Bar) -> str:
    """Return a bar with its tooltip, the line of its wait, and its label if it fits."""
    kind = kind_of(bar.span)
    x, y = chart.x(bar.start), chart.y(bar.lane)
    width = max(0.8, chart.x(bar.end) - x - 0.6)
    parts = []
    lead = chart.x(max(bar.free_since, bar.span.arrival))
    if x - lead >= 1:
        wait = f"M{lead:.1f} {y + chart.height / 2:.1f}H{x:.1f}"
        line: Attributes = {"stroke": "#7a7a7a", "stroke_opacity": 0.55, "stroke_width": 1.5}
        parts.append(element("path", d=wait, **line))
    title = element("title", _tooltip(bar))
    corner, fill = min(2.5, width / 3), COLOURS[kind]
    parts.append(
        element("rect", title, x=x, y=y, width=width, height=chart.height, rx=corner, fill=fill)
    )
    if chart.height >= 14 and (words := fitting(bar.span.label, width - 10, 11)):
        ink = INK if kind in DARK_INK else "#ffffff"
        place: Attributes = {"x": x + 5, "y": y + chart.height / 2 + 3.8}
        parts.append(
            element("text", text(words), **place, font_size=11, fill=ink, pointer_events="none")
        )
    return "".join(parts)


def _tooltip(bar: Bar) -> str:
    span = bar.span
    kind = kind_of(span)
    lines = (
        shorten(span.label, 120),
        f"{NAMES.get(kind, kind)}, slot {bar.lane + 1}",
        f"waited {duration(bar.start - span.arrival)}, ran {duration(bar.end - bar.start)}",
    )
    return "\n".join(text(line) for line in lines if line)


# ----------------------------------------------------------- many bars, merged into columns

Shares = dict[str, float]  # of one column: pixels covered, by kind


def _merged(chart: Chart) -> Iterator[str]:
    """Yield one path for each colour: the wide bars as they are, the others as columns."""
    paths: dict[str, list[str]] = {}
    room: dict[tuple[int, int], float] = {}
    rows: list[dict[int, Shares]] = [{} for _ in range(chart.rows)]
    for bar in chart.bars:
        kind, row = kind_of(bar.span), bar.lane // chart.shared
        x, end = chart.x(bar.start), chart.x(bar.end)
        if end - x >= NARROW and chart.shared == 1:
            shape = f"M{x:.1f} {chart.y(row):.1f}H{end - 0.5:.1f}v{chart.height:.1f}H{x:.1f}z"
            paths.setdefault(kind, []).append(shape)
            for at in (x, end):  # the columns at its two ends have less room for others
                column = _column_of(at)
                left = room.get((row, column), COLUMN)
                room[row, column] = left - _covered(column, x, end)
        else:
            for column in range(_column_of(x), _column_of(end) + 1):
                shares = rows[row].setdefault(column, {})
                shares[kind] = shares.get(kind, 0.0) + _covered(column, x, end)
    for row, columns in enumerate(rows):
        for kind, shape in _shapes(chart, row, columns, room):
            paths.setdefault(kind, []).append(shape)
    for kind, colour in COLOURS.items():
        if kind in paths:
            yield element("path", fill=colour, d="".join(paths[kind]))


def _column_of(x: float) -> int:
    return min(COLUMNS - 1, int((x - LEFT) / COLUMN))


def _covered(column: int, x: float, end: float) -> float:
    """Return the number of pixels of a column that lie between two places."""
    left = LEFT + column * COLUMN
    return max(0.0, min(end, left + COLUMN) - max(x, left))


def _shapes(
    chart: Chart, row: int, columns: dict[int, Shares], room: dict[tuple[int, int], float]
) -> Iterator[tuple[str, str]]:
    """Yield the columns of a row as shapes; equal neighbours are one shape."""
    stacks = {
        column: _stack(chart, shares, room.get((row, column), COLUMN) * chart.shared)
        for column, shares in columns.items()
    }
    bottom = chart.y(row) + chart.height
    first = last = -1
    for column in [*sorted(stacks), COLUMNS]:
        if last >= 0 and (column != last + 1 or stacks.get(column) != stacks[last]):
            x, width = LEFT + first * COLUMN, (last + 1 - first) * COLUMN
            y = bottom
            for kind, high in stacks[last]:
                y -= high
                yield kind, f"M{x:.0f} {y:.1f}h{width:.0f}v{high:.1f}h-{width:.0f}z"
            first = column
        elif last < 0:
            first = column
        last = column


def _stack(chart: Chart, shares: Shares, full: float) -> list[tuple[str, float]]:
    """Return the heights of one column's statuses, from the bottom, none too thin to be visible.

    Statuses other than completed come first, so that few of them stay visible.
    """
    least, left = min(2.0, chart.height / 3), chart.height
    stack = []
    for kind in sorted(shares, key=lambda kind: (kind == "completed", kind)):
        share = shares[kind] / full if full > 0.05 else 1.0
        high = round(min(left, max(least, chart.height * share)), 1)
        if high > 0:
            stack.append((kind, high))
            left -= high
    return stack


# -------------------------------------------------------------- the waiting events, below


def _waiting(chart: Chart) -> Iterator[str]:
    """Yield the panel of the waiting events, and marks of events that settled without running."""
    top, bottom = chart.band_top, chart.band_bottom
    steps = chart.depth()
    peak = max((number for _, number in steps), default=0)
    yield element("path", d=f"M{LEFT} {bottom:.1f}h{PLOT}", stroke="#8a8a8a")
    words = "waiting in the queue" if peak else "no event had to wait in the queue"
    yield element("text", words, x=LEFT, y=top - 16, fill=LIGHT)
    yield _row_label(bottom + 4, "0")
    if peak:
        yield _row_label(top + 5, f"{peak:,}")
        unit = BAND / peak
        outline = "".join(
            f"L{x:.1f} {bottom - number * unit:.1f}" for x, number in _outline(chart, steps)
        )
        area = f"M{LEFT} {bottom:.1f}{outline}V{bottom:.1f}z"
        yield element("path", d=area, fill="#7a7a7a", fill_opacity=0.28, stroke="#6a6a6a")
    yield from _without_run(chart, top)


def _without_run(chart: Chart, top: float) -> Iterator[str]:
    """Yield a small triangle at each pixel where events settled without running."""
    marks = {
        (round(chart.x(span.end)), kind_of(span))
        for span in chart.spans
        if span.start is None and span.end is not None
    }
    for x, kind in sorted(marks):
        yield element("path", d=f"M{x} {top - 2:.1f}l4 -7h-8z", fill=COLOURS[kind])
    if marks:
        yield _end_text(top - 16, "▼ settled without running")


def _outline(chart: Chart, steps: list[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    """Yield the step line of the depth, with at most four points for each column of pixels."""
    before, here = 0, -1
    column: list[int] = []
    for at, number in [*steps, (chart.until + 2 / chart.axis.scale, 0)]:
        pixel = math.floor(chart.x(at))
        if pixel != here:
            if column:
                extremes = dict.fromkeys((before, max(column), min(column)))
                yield from ((here, value) for value in (*extremes, column[-1]))
                before = column[-1]
            here, column = pixel, []
        column.append(number)
    yield chart.x(chart.until), before
