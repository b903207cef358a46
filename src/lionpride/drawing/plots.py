"""Small charts for a page, as SVG: they take any width, and their colours from its style sheet.

Places along the page are in percent and heights in pixels, so that letters keep their size
however wide a chart is. Everything has a class (``s-failed``, ``p95``), nothing has a colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

from .text import one_line

__all__ = ["Axis", "Block", "blocks", "gauge", "lines", "nice_top", "stacks", "step_of"]

TOP, BOTTOM = 16, 20  # pixels above and below what is drawn, for letters
MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Axis:
    """Time from left to right.

    Attributes:
        begin, end: Unix timestamps in seconds.
        write: How an instant is written below the chart.
        marks: About how many instants are written.
    """

    begin: float
    end: float
    write: Callable[[float], str]
    marks: int = 5

    def x(self, at: float) -> float:
        """Where an instant is, in percent."""
        return 100 * (at - self.begin) / (self.end - self.begin)

    def ticks(self) -> Iterator[float]:
        """Round instants, about as many as are wanted."""
        step = step_of((self.end - self.begin) / self.marks)
        at = math.ceil(self.begin / step) * step
        while at <= self.end:
            yield at
            at += step


@dataclass(frozen=True, slots=True)
class Block:
    """One bar of a timeline: a period in a lane.

    Attributes:
        kind: A CSS class in addition to ``bar``.
        label: Its text for a tooltip and a screen reader.
        link: The URL that it links to.
    """

    begin: float
    end: float
    lane: int
    kind: str
    label: str = field(default="", compare=False)
    link: str = field(default="", compare=False)


def stacks(
    moments: Sequence[tuple[float, Sequence[tuple[str, float]]]],
    width: float,
    axis: Axis,
    label: str,
    *,
    height: int = 132,
    unit: Callable[[float], str] = "{:,.0f}".format,
) -> str:
    """A column for each moment, its parts one on another.

    Args:
        moments: When each began; and its parts from the bottom up: a class, and how much.
        width: Seconds that one lasts.
        axis: The time.
        label: A description of the chart.
        height: In pixels.
        unit: How an amount is written.
    """
    top = nice_top(max((sum(n for _, n in parts) for _, parts in moments), default=0.0))
    scale = (height - TOP - BOTTOM) / top
    across = 100 * width / (axis.end - axis.begin)
    parts = []
    for at, column in moments:
        y = float(height - BOTTOM)
        said = []
        for kind, amount in column:
            if amount:
                high = max(1.0, amount * scale)
                y -= high
                parts.append(_rect(axis.x(at), y, across * 0.82, high, f"area {kind}"))
                said.append(f"{unit(amount)} {kind.removeprefix('s-')}")
        words = f"{axis.write(at)}: {', '.join(said)}"
        if said:
            parts.append(_hover(axis.x(at), across, height, words))
    return _chart(height, axis, label, [0.0, top], top, unit, parts)


def lines(
    series: Sequence[tuple[str, Sequence[tuple[float, float | None]]]],
    axis: Axis,
    label: str,
    *,
    height: int = 132,
    unit: Callable[[float], str],
) -> str:
    """A line for each series; where nothing is known it is broken.

    Args:
        series: A class each, and its points: when, and how much.
        axis: The time.
        label: A description of the chart.
        height: In pixels.
        unit: How an amount is written.
    """
    known = [value for _, points in series for _, value in points if value is not None]
    top = nice_top(max(known, default=0.0))
    plot = height - TOP - BOTTOM
    parts = [
        (
            f'<svg x="0" y="{TOP}" width="100%" height="{plot}" viewBox="0 0 100 100" '
            'preserveAspectRatio="none" class="inner">'
        )
    ]
    for kind, points in series:
        path, drawing = [], False
        for at, value in points:
            if value is not None:
                x, y = axis.x(at), 100 - 100 * value / top
                path.append(f"{'L' if drawing else 'M'}{x:.2f} {y:.2f}")
                if not drawing:
                    path.append("h.4")  # so that one point alone is seen
            drawing = value is not None
        if path:
            parts.append(f'<path class="line {kind}" d="{"".join(path)}"/>')
    parts.append("</svg>")
    across = 100 / max(1, max((len(points) for _, points in series), default=1))
    columns: dict[float, list[str]] = {}
    for kind, points in series:
        for at, value in points:
            if value is not None:
                columns.setdefault(at, []).append(f"{kind} {unit(value)}")
    for at, said in columns.items():
        words = f"{axis.write(at)}: {', '.join(said)}"
        parts.append(_hover(axis.x(at) - across / 2, across, height, words))
    return _chart(height, axis, label, [0.0, top], top, unit, parts)


def blocks(
    bars: Iterable[Block], lanes: int, axis: Axis, label: str, *, pitch: int = 14, least: int = 1
) -> str:
    """Return a timeline: bars in lanes, each with a link.

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
    parts = ['<g class="bars">']
    for i, bar in enumerate(bars):
        x = max(0.0, axis.x(bar.begin))
        wide = max(0.12, min(100.0, axis.x(bar.end)) - x)
        y = TOP + bar.lane * pitch
        words = _text(bar.label)
        parts.append(
            f'<a href="{escape(bar.link)}" tabindex="{-1 if i else 0}" aria-label="{words}">'
            f'<rect class="bar {bar.kind}" x="{x:.3f}%" y="{y}" width="{wide:.3f}%" '
            f'height="{thick}" rx="1.5"><title>{words}</title></rect></a>'
        )
    parts.append("</g>")
    return _chart(height, axis, label, [], 1.0, str, parts, role="group")


def gauge(share: float, label: str, kind: str = "") -> str:
    """Return a bar that is filled to a share from 0 to 1.

    Args:
        share: The share; more than 1 is drawn as 1.
        label: A description of the chart.
        kind: A CSS class of the filled part.
    """
    wide = 100 * min(1.0, max(0.0, share))
    return (
        f'<svg class="gauge" width="100%" height="8" role="img" aria-label="{_text(label)}">'
        '<rect class="track" width="100%" height="8" rx="4"/>'
        f'<rect class="full {kind}" width="{wide:.1f}%" height="8" rx="4"/></svg>'
    )


def nice_top(most: float) -> float:
    """A round number that is no less than the most that is to be drawn."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(power * n for n in (1, 2, 3, 4, 5, 6, 8, 10) if power * n >= most * 0.999)


def step_of(wanted: float) -> float:
    """A round number of seconds that is about what is wanted."""
    if wanted >= 1:
        return float(next((t for t in MINUTES if t >= wanted), 86400 * math.ceil(wanted / 86400)))
    power = 10.0 ** math.floor(math.log10(max(wanted, 1e-6)))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= wanted * 0.999)


def _chart(
    height: int,
    axis: Axis,
    label: str,
    levels: Sequence[float],
    top: float,
    unit: Callable[[float], str],
    parts: Sequence[str],
    role: str = "img",
) -> str:
    """The frame around what is drawn: levels, instants, and what it all is."""
    bottom = height - BOTTOM
    named = f'role="{role}" aria-label="{_text(label)}"'
    frame = [f'<svg class="chart" width="100%" height="{height}" {named}>']
    for at in axis.ticks():
        x = axis.x(at)
        frame.append(f'<line class="grid" x1="{x:.2f}%" x2="{x:.2f}%" '
                     f'y1="{TOP}" y2="{bottom}"/>')  # fmt: skip
        anchor = "start" if x < 4 else "end" if x > 96 else "middle"
        frame.append(
            f'<text class="mark" x="{x:.2f}%" y="{height - 5}" text-anchor="{anchor}">'
            f"{_text(axis.write(at))}</text>"
        )
    frame.append(f'<line class="ground" x1="0" x2="100%" y1="{bottom}" y2="{bottom}"/>')
    frame += parts
    for level in levels:
        if level:
            y = bottom - (height - TOP - BOTTOM) * level / top
            frame.append(
                f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text class="mark level" x="0" y="{y - 4:.1f}">{_text(unit(level))}</text>'
            )
    return "".join([*frame, "</svg>"])


def _rect(x: float, y: float, wide: float, high: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.3f}%" y="{y:.1f}" width="{wide:.3f}%" height="{high:.1f}"/>'
    )


def _hover(x: float, wide: float, height: int, words: str) -> str:
    """A place that shows nothing but a tooltip."""
    return (
        f'<rect class="hover" x="{x:.3f}%" y="{TOP}" width="{wide:.3f}%" '
        f'height="{height - TOP - BOTTOM}"><title>{_text(words)}</title></rect>'
    )


def _text(text: str) -> str:
    return escape(one_line(text))
