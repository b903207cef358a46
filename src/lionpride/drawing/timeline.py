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
from html import escape

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
    tick_step,
)
from .text import duration, fitting, one_line, plural, rate, shorten, text_width

__all__ = ["COLOURS", "Span", "draw"]

# Okabe and Ito's palette: told apart with any kind of colour vision, and in grey by lightness.
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
DARK_INK = {"skipped", "processing", "cancelled"}  # what white letters cannot be read on
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
"""Rules of the dark theme. Bars, and the letters on them, keep their colours."""

_NOTEBOOKS = ":is([theme=dark],[data-theme=dark],[data-jp-theme-light=false],.vscode-dark)"
"""Selector of notebooks with a dark theme of their own, whatever the system prefers."""


def _rules(around: str) -> str:
    return "".join(f"{around}.{_CLASS}{part}{{{rule}}}" for part, rule in _DARK.items())


_STYLE = f"@media (prefers-color-scheme:dark){{{_rules('')}}}{_rules(f'{_NOTEBOOKS} ')}"

EVERY_BAR = 2_000  # up to so many bars, each is an element with a tooltip
NARROW = 3.0  # beyond that, bars under this many pixels are merged into columns...
COLUMN = 2.0  # ...this wide
COLUMNS = int(PLOT / COLUMN)


def draw(spans: Sequence[Span], title: str) -> str:
    """Write the SVG text of a run; `title` names what ran."""
    chart = Chart(spans)
    height = chart.band_bottom + 54
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            f'width="{WIDTH}" height="{height:.0f}" role="img" class="{_CLASS}" '
            "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\" "
            'font-size="12" fill="#1a1a1a">'
        ),
        f"<title>{_text(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff" class="ground"/>',
        *_header(chart, title),
        *_grid(chart),
        *_slots(chart),
        *_bars(chart),
        *_waiting(chart),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


# ------------------------------------------------------------------ the frame around the bars


def _header(chart: Chart, title: str) -> Iterator[str]:
    """The title, the figures of the run, and the legend with a count for each status."""
    seconds, waits = chart.seconds, chart.waits
    pace = f" · {rate(chart.settled / seconds)}" if seconds > 0 and chart.settled else ""
    part = f"{chart.settled:,} of " if chart.settled < chart.events else ""
    figures = (
        f"{part}{plural(chart.events, 'event')} in {duration(seconds)}{pace} · "
        f"{plural(chart.lanes, 'slot')} in use · queue wait p50 "
        f"{duration(percentile(waits, 0.5))}, p95 {duration(percentile(waits, 0.95))}"
    )
    yield (
        f'<text x="{LEFT}" y="38" font-size="21" font-weight="600">'
        f"{_text(shorten(title, 72))}</text>"
        f'<text x="{LEFT}" y="62" font-size="14" fill="#4a4a4a">{_text(figures)}</text>'
    )
    x = float(LEFT)
    for kind, colour in COLOURS.items():
        if number := chart.counts.get(kind):
            words = f"{NAMES.get(kind, kind)} {number:,}"
            yield (
                f'<rect x="{x:.0f}" y="78" width="13" height="13" rx="2.5" fill="{colour}"/>'
                f'<text x="{x + 19:.0f}" y="89" font-size="13">{_text(words)}</text>'
            )
            x += 19 + text_width(words, 13) + 24


def _grid(chart: Chart) -> Iterator[str]:
    """Lines and labels of the time axis, through the slots and the panel below them."""
    step = tick_step(chart.seconds)
    marks = [n * step for n in range(math.floor(chart.seconds / step + 1e-9) + 1)]
    lines = "".join(
        f"M{LEFT + mark * chart.scale:.1f} {TOP - 6}V{chart.band_bottom:.1f}" for mark in marks
    )
    yield f'<path d="{lines}" stroke="#e3e3e3" fill="none"/>'
    yield '<g text-anchor="middle" fill="#4a4a4a">'
    for mark in marks:
        x = LEFT + mark * chart.scale
        yield f'<text x="{x:.1f}" y="{chart.band_bottom + 20:.1f}">{_mark(mark, step)}</text>'
    yield "</g>"
    yield (
        f'<text x="{WIDTH - RIGHT}" y="{chart.band_bottom + 40:.1f}" text-anchor="end" '
        f'fill="#757575">{_text(_note(chart))}</text>'
    )


def _note(chart: Chart) -> str:
    """One line on how to read this picture."""
    if chart.shared > 1:
        return f"a row is {chart.shared} slots; the height of a column is how busy they were"
    if len(chart.bars) > EVERY_BAR:
        return "short events are merged into columns; their height is how busy the slot was"
    return "thin line: the event waits while its slot is free; point at a bar to read it"


def _mark(at: float, step: float) -> str:
    """A mark of the axis, with as many digits as its step has."""
    if at == 0:
        return "0"
    if step >= 1:
        return duration(at) if at >= 60 else f"{at:.0f} s"
    if step >= 0.1:
        return f"{at:.1f} s"
    digits = max(0, -math.floor(math.log10(step * 1000) + 1e-9))
    return f"{at * 1000:.{digits}f} ms"


def _slots(chart: Chart) -> Iterator[str]:
    """The empty rows, and the numbers of some of them."""
    rows = "".join(
        f"M{LEFT} {chart.y(row):.1f}h{PLOT}v{chart.height:.1f}h-{PLOT}z"
        for row in range(chart.rows)
    )
    yield f'<path d="{rows}" fill="#1a1a1a" fill-opacity="0.045" class="row"/>'
    every = next(n for n in (1, 2, 5, 10) if n * chart.pitch >= 14)
    yield '<g text-anchor="end" fill="#4a4a4a">'
    yield f'<text x="{LEFT - 10}" y="{TOP - 10}" fill="#757575">slot</text>'
    for row in range(chart.rows):
        number = row * chart.shared + 1
        if row == 0 or (row if chart.shared > 1 else number) % every == 0:
            y = chart.y(row) + chart.height / 2 + 4
            yield f'<text x="{LEFT - 10}" y="{y:.1f}">{number}</text>'
    yield "</g>"


# ------------------------------------------------------------------------------------ the bars


def _bars(chart: Chart) -> Iterator[str]:
    if len(chart.bars) <= EVERY_BAR and chart.shared == 1:
        yield from (_bar(chart, bar) for bar in chart.bars)
    else:
        yield from _merged(chart)


def _bar(chart: Chart, bar: Bar) -> str:
    """One bar with its tooltip, the line of its wait, and its label if there is room."""
    kind, label = kind_of(bar.span), bar.span.label
    x, y = chart.x(bar.start), chart.y(bar.lane)
    width = max(0.8, chart.x(bar.end) - x - 0.6)
    parts = []
    lead = chart.x(max(bar.free_since, bar.span.arrival))
    if x - lead >= 1:
        parts.append(
            f'<path d="M{lead:.1f} {y + chart.height / 2:.1f}H{x:.1f}" stroke="#7a7a7a" '
            'stroke-opacity="0.55" stroke-width="1.5"/>'
        )
    parts.append(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{chart.height:.1f}" '
        f'rx="{min(2.5, width / 3):.1f}" fill="{COLOURS[kind]}">'
        f"<title>{_tooltip(bar)}</title></rect>"
    )
    if chart.height >= 14 and (words := fitting(label, width - 10, 11)):
        ink = "#1a1a1a" if kind in DARK_INK else "#ffffff"
        parts.append(
            f'<text x="{x + 5:.1f}" y="{y + chart.height / 2 + 3.8:.1f}" font-size="11" '
            f'fill="{ink}" pointer-events="none">{_text(words)}</text>'
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
    return "\n".join(_text(line) for line in lines if line)


# ----------------------------------------------------------- many bars, merged into columns

Shares = dict[str, float]  # of one column: pixels covered, by kind


def _merged(chart: Chart) -> Iterator[str]:
    """The wide bars as they are, the others as columns; one path for each colour."""
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
        for kind, shape in _runs(chart, row, columns, room):
            paths.setdefault(kind, []).append(shape)
    for kind, colour in COLOURS.items():
        if kind in paths:
            yield f'<path fill="{colour}" d="{"".join(paths[kind])}"/>'


def _column_of(x: float) -> int:
    return min(COLUMNS - 1, int((x - LEFT) / COLUMN))


def _covered(column: int, x: float, end: float) -> float:
    """How many pixels of a column lie between two places."""
    left = LEFT + column * COLUMN
    return max(0.0, min(end, left + COLUMN) - max(x, left))


def _runs(
    chart: Chart, row: int, columns: dict[int, Shares], room: dict[tuple[int, int], float]
) -> Iterator[tuple[str, str]]:
    """The columns of a row as shapes; neighbours that look the same are one."""
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
    """The heights of one column's statuses, from the bottom, none too thin to be seen.

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


# -------------------------------------------------------------------------- what waits, below


def _waiting(chart: Chart) -> Iterator[str]:
    """The panel of how many waited, and marks for the events that settled without running."""
    top, bottom = chart.band_top, chart.band_bottom
    steps = chart.depth()
    peak = max((number for _, number in steps), default=0)
    yield f'<path d="M{LEFT} {bottom:.1f}h{PLOT}" stroke="#8a8a8a"/>'
    words = "waiting in the queue" if peak else "no event had to wait in the queue"
    yield f'<text x="{LEFT}" y="{top - 16:.1f}" fill="#757575">{words}</text>'
    yield f'<g text-anchor="end" fill="#4a4a4a"><text x="{LEFT - 10}" y="{bottom + 4:.1f}">0</text>'
    if peak:
        yield f'<text x="{LEFT - 10}" y="{top + 5:.1f}">{peak:,}</text>'
    yield "</g>"
    if peak:
        unit = BAND / peak
        outline = "".join(
            f"L{x:.1f} {bottom - number * unit:.1f}" for x, number in _outline(chart, steps)
        )
        yield (
            f'<path d="M{LEFT} {bottom:.1f}{outline}V{bottom:.1f}z" '
            'fill="#7a7a7a" fill-opacity="0.28" stroke="#6a6a6a"/>'
        )
    yield from _unrun(chart, top)


def _unrun(chart: Chart, top: float) -> Iterator[str]:
    """A small triangle at each pixel where events settled without ever running."""
    marks = {
        (round(chart.x(span.end)), kind_of(span))
        for span in chart.spans
        if span.start is None and span.end is not None
    }
    for x, kind in sorted(marks):
        yield f'<path d="M{x} {top - 2:.1f}l4 -7h-8z" fill="{COLOURS[kind]}"/>'
    if marks:
        yield (
            f'<text x="{WIDTH - RIGHT}" y="{top - 16:.1f}" text-anchor="end" fill="#757575">'
            "▼ settled without running</text>"
        )


def _outline(chart: Chart, steps: list[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    """The step line of a depth, with a few points for each pixel column however long it is."""
    before, here = 0, -1
    column: list[int] = []
    for at, number in [*steps, (chart.until + 2 / chart.scale, 0)]:
        pixel = math.floor(chart.x(at))
        if pixel != here:
            if column:
                shown = dict.fromkeys((before, max(column), min(column), column[-1]))
                yield from ((here, value) for value in shown)
                before = column[-1]
            here, column = pixel, []
        column.append(number)
    yield chart.x(chart.until), before


def _text(text: str) -> str:
    """A text as XML content: on one line, escaped, without the characters that XML forbids."""
    return escape(one_line(text), quote=False)
