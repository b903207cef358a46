"""What a notebook shows of events: their counts, and how they ran over time, as HTML and SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

from ..drawing.chart import Span
from ..drawing.text import one_line, plural
from ..drawing.timeline import COLOURS, draw
from .event_data import Work
from .execution import TERMINAL, EventStatus
from .progress import BEGAN

__all__ = ("MOST", "Picture", "counted", "html_of", "picture_of", "title_of")

MOST: Final = 10_000
"""Events that are drawn: the newest, if there are more."""


class Picture:
    """A picture, as SVG: a notebook shows it, and ``save`` writes it into a file.

    Args:
        svg: The text of it.
    """

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def __repr__(self) -> str:
        return f"<a picture, {len(self.svg):,} characters of SVG: save(path) writes it>"

    def __str__(self) -> str:
        return self.svg

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str) -> None:
        """Write it into a file."""
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123  # a path of any kind
            file.write(self.svg)


def picture_of(events: Sequence[Work], title: str, ahead: float | None = None) -> Picture:
    """How events ran over time, a bar for each attempt that is known.

    Args:
        events: Those that are meant; the last of them, if there are very many.
        title: What stands above.
        ahead: By how much Unix time is ahead of the clock that says when they began. None: by as
            much as is needed for none to begin before it was made.
    """
    shown = events[-MOST:]
    if ahead is None:
        lead = (e.created_timestamp - e.__dict__[BEGAN] for e in shown if BEGAN in e.__dict__)
        ahead = max(lead, default=0.0)
    return Picture(draw([span for event in shown for span in _spans(event, ahead)], title))


def _spans(event: Work, ahead: float) -> Iterable[Span]:
    """The stays of an event: until each attempt that failed, and until now."""
    state, label = event.execution, _label(event)
    since = event.created_timestamp
    began = event.__dict__.get(BEGAN)
    last = None if began is None else began + ahead
    for attempt in state.failed_attempts:
        if last is not None and attempt.number == state.attempt_number and state.status in TERMINAL:
            break  # the last one, which is drawn as what it ended as
        end = attempt.started + attempt.duration
        yield Span(min(since, attempt.started), attempt.started, end, "pending", label)
        since = end
    status = state.status
    ran = state.duration if isinstance(state.duration, (int, float)) else None
    if status is EventStatus.PENDING or (last is None and status is EventStatus.PROCESSING):
        yield Span(since, None, None, "pending", label)
    elif last is not None and status is EventStatus.PROCESSING:
        yield Span(since, last, None, "processing", label)
    elif last is not None and ran is not None:
        yield Span(min(since, last), last, last + ran, status.value, label)


def _label(event: Work) -> str:
    """What to call an event in one line: the first text among its own fields, or its class."""
    for name, field in type(event).model_fields.items():
        value = event.__dict__.get(name)
        if isinstance(value, str) and value and field.repr:
            return one_line(value[:400])
    return type(event).__name__


def title_of(kind: str, name: str | None) -> str:
    """Return the name of a class, with the name of the instance if it was given one."""
    return kind if not name else f"{kind} {name}"


def counted(events: Iterable[Work]) -> dict[str, int]:
    """How many are in each status."""
    counts = dict.fromkeys((status.value for status in EventStatus), 0)
    for event in events:
        counts[event.execution.status.value] += 1
    return counts


def html_of(title: str, counts: Mapping[str, int], picture: Picture | None) -> str:
    """A heading, the counts, and a picture if there is any."""
    cells = "".join(
        '<td style="text-align:left;padding:.2em 1.2em .2em 0">'
        f'<span style="display:inline-block;width:.7em;height:.7em;border-radius:50%;'
        f'box-shadow:0 0 0 1px #8a8a8a;background:{COLOURS.get(name, "#8a8a8a")}"></span> '
        f"<b>{number:,}</b> {escape(one_line(name))}</td>"
        for name, number in counts.items()
        if number
    )
    total = plural(sum(counts.values()), "event")
    drawn = "" if picture is None else f'<div style="max-width:60em">{_fluid(picture.svg)}</div>'
    return (
        f"<div><strong>{escape(one_line(title))}</strong> · {total}"
        f"<table><tr>{cells}</tr></table>{drawn}</div>"
    )


def _fluid(svg: str) -> str:
    """The same picture, as wide as there is room."""
    head, mark, rest = svg.partition(">")
    width = head.partition(' width="')[2].partition('"')[0]
    height = head.partition(' height="')[2].partition('"')[0]
    head = head.replace(f' width="{width}" height="{height}"', ' width="100%"')
    return head + mark + rest
