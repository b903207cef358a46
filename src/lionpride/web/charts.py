"""Charts of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import time
from typing import Any, Final
from uuid import UUID

from markupsafe import Markup

from ..core import EventStatus
from ..drawing.chart import Span, assign_lanes
from ..drawing.plots import bars_in_lanes, gauge, lines, stacks
from ..drawing.svg import Axis
from ..drawing.text import duration, number, plural, wait
from ..stores.inspector import FinishedEvent, LimitUsage, RunningEvent
from ..view.history import Interval
from .time_range import TimeRange

__all__ = ["gauge_for", "gauge_of", "overview", "part_of", "timeline"]

MAX_BARS: Final = 1_200
"""Maximum number of bars of one chart."""

MAX_LANES: Final = 60
"""Maximum number of lanes of the timeline; bars in others are not drawn."""

MIN_INTERVALS: Final = 30
"""Number of intervals that are shown even if fewer are known."""

_STACKED: Final = (
    EventStatus.COMPLETED,
    EventStatus.SKIPPED,
    EventStatus.CANCELLED,
    EventStatus.ABORTED,
    EventStatus.FAILED,
)


def part_of(known: int, ended: int) -> str:
    """Return which part of the events is drawn; an empty text if it is all of them.

    The two numbers are counted one after the other, and differ a little while events end.
    """
    return "" if known >= 0.99 * ended else f"the newest {known:,} of {ended:,}"


def overview(intervals: Sequence[Interval], width: float) -> dict[str, Markup]:
    """Return the charts of throughput, queue wait and duration."""
    known = next((i for i, one in enumerate(intervals) if one.ended or one.ran), len(intervals))
    intervals = intervals[min(known, len(intervals) - MIN_INTERVALS) :]
    begin, end = intervals[0].at, intervals[-1].at + width
    axis = Axis(begin, end, lambda at: f"{_utc(at):%H:%M}", marks=4)
    ended = [
        (each.at, [(f"s-{s.value}", each.ended.get(s, 0) / width) for s in _STACKED])
        for each in intervals
    ]
    minutes = f"over the last {plural(round((end - begin) / 60), 'minute')}"

    def curves(name: str, what: str) -> Markup:
        series = []
        for i, kind in enumerate(("p50", "p95")):
            points = [(m.at + width / 2, (getattr(m, name) or (None, None))[i]) for m in intervals]
            series.append((kind, points))
        return Markup(lines(series, axis, f"{what} {minutes}, p50 and p95", unit=duration))

    return {
        "throughput": Markup(
            stacks(
                ended, width, axis, f"Events that finished per second {minutes}", unit=_per_second
            )
        ),
        "waited": curves("waited", "Queue wait"),
        "ran": curves("ran", "Duration"),
    }


def timeline(
    finished: Sequence[FinishedEvent],
    running: Sequence[RunningEvent],
    time_range: TimeRange,
    link: Callable[[UUID], str],
) -> dict[str, Any]:
    """Return a chart with a bar for each event that ran in a time range, at most ``MAX_BARS``."""
    now, until = time(), time_range.end
    ran = [e for e in finished if e.duration is not None and e.ended - e.duration <= until]
    run = [one for one in running if one.since is not None and one.since <= until]
    spans = []
    for event in ran[-(MAX_BARS - len(run)) :]:
        began, words = event.ended - (event.duration or 0.0), _bar_text(event)
        status, url = event.status.value, link(event.id)
        spans.append(Span(began, began, event.ended, status, words, url))
    for one in run:
        began, url = one.since or now, link(one.record.id)
        words = f"{one.record.kind}, running for {duration(max(0.0, now - began))}"
        spans.append(Span(began, began, max(now, began), "processing", words, url))
    bars = assign_lanes(spans, now)
    lanes = min(MAX_LANES, 1 + max((bar.lane for bar in bars), default=0))
    drawn = [bar for bar in bars if bar.lane < MAX_LANES]
    pitch = 18 if lanes <= 12 else 12 if lanes <= 30 else 8
    label = f"Timeline: {plural(len(drawn), 'event')} in {duration(time_range.length)}"
    axis = Axis(time_range.begin, time_range.end, _writer(time_range.length), marks=6)
    return {
        "svg": Markup(bars_in_lanes(drawn, lanes, axis, label, pitch=pitch, least=5)),
        "shown": len(drawn),
        "all": len(ran) + len(run),
    }


def _bar_text(event: FinishedEvent) -> str:
    """Return the text of an event's bar."""
    words = f"{event.kind}, {event.status.value}, ran {duration(event.duration or 0.0)}"
    return words if event.waited is None else f"{words}, waited {duration(event.waited)}"


def gauge_of(usage: LimitUsage, can_change: bool) -> dict[str, Any]:
    """Return a limit as a gauge."""
    span = "at once" if usage.per is None else f"in {wait(usage.per)}"
    found = gauge_for(usage.name, usage.used, usage.amount, span)
    paused = duration(usage.paused - time()) if usage.paused > time() else ""
    return found | {"paused": paused, "change": can_change and usage.key is None}


def gauge_for(name: str, used: float, amount: float | None, span: str) -> dict[str, Any]:
    """Return a gauge of an amount that is used."""
    share = used / amount if amount else 0.0
    of = "" if amount is None else f" of {number(amount)}"
    words = f"{number(used)}{of} {span}"
    kind = "high" if share >= 0.9 else ""
    svg = "" if amount is None else Markup(gauge(share, f"{name}: {words}", kind))
    return {
        "name": name,
        "words": words,
        "svg": svg,
        "amount": amount,
        "paused": "",
        "change": False,
    }


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _per_second(amount: float) -> str:
    return f"{amount:,.0f}/s" if amount >= 10 or amount == int(amount) else f"{amount:.2g}/s"


def _writer(length: float) -> Callable[[float], str]:
    """Return the function that writes the times below a time range, as exactly as needed."""
    if length >= 300:
        return lambda at: f"{_utc(at):%H:%M}"
    if length >= 6:
        return lambda at: f"{_utc(at):%H:%M:%S}"
    return lambda at: f"{_utc(at):%S}.{int(at * 1000) % 1000:03d}"
