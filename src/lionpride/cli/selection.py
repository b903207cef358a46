"""The options that choose events of a store by what they are."""

from __future__ import annotations

import difflib
from typing import Final, TypedDict

import click

from ..core import EventStatus
from ..drawing.text import shorten
from ..stores.inspector import EventFilter
from .grammar import F, option
from .store.queues import StoreQueues
from .usage import UsageError, count_from_zero, past_time, whole_number

__all__ = ["Chosen", "filter_of", "filter_options"]

STATUSES: Final = list(map(str, EventStatus))
NAMED: Final = 20  # classes that a message names
LONGEST: Final = 1000  # characters of a text to look for


class Chosen(TypedDict):
    """The values of the options.

    Attributes:
        status, kind, since, text: As in ``EventFilter``.
        blocked: True for pending events that wait for their parents.
        before: Only events with a number below it.
        after: Only events with a number above it.
    """

    status: str | None
    blocked: bool
    kind: str | None
    since: float | None
    text: str
    before: int | None
    after: int | None


def _text(text: str) -> str:
    """Read a text to look for: a database refuses very long patterns."""
    if len(text) > LONGEST:
        raise click.BadParameter(
            f"{shorten(text, 40)!r} has {len(text):,} characters: give {LONGEST:,} at most"
        )
    return text


def filter_options(function: F) -> F:
    """Add the options of ``Chosen``."""
    options = [
        option(
            "--status",
            metavar="S",
            type=click.Choice(STATUSES),
            help=f"only events with this status: {', '.join(STATUSES)}",
        ),
        option("--blocked", is_flag=True, help="only pending events that wait for their parents"),
        option("--kind", metavar="K", help="only events of this class, as module.Class or Class"),
        option(
            "--since",
            metavar="T",
            type=past_time,
            help=(
                "only events created since then: 30m, 12h or 7d ago, or a time as "
                "2026-01-31T12:00 (UTC)"
            ),
        ),
        option(
            "--text",
            metavar="T",
            type=_text,
            default="",
            help="only events whose error contains T, in upper or lower case, or whose id is T",
        ),
        option(
            "--before", metavar="N", type=whole_number, help="only events with a number below N"
        ),
        option(
            "--after", metavar="N", type=count_from_zero, help="only events with a number above N"
        ),
    ]
    for add in reversed(options):
        function = add(function)
    return function


async def filter_of(chosen: Chosen, queues: StoreQueues) -> EventFilter:
    """Return the filter of the options, without ``before`` and ``after``.

    Raises:
        UsageError: if the events of another status are to be blocked; or if the class is written
            without its module, and the queues have none or several of this name.
    """
    status, blocked = chosen["status"], chosen["blocked"]
    if blocked and status not in (None, EventStatus.PENDING):
        raise UsageError(
            f"--blocked --status {status}: only pending events are blocked: leave --status out"
        )
    kind = chosen["kind"]
    if kind is not None and "." not in kind:
        kind = await _full_kind(kind, queues)
    wanted = None if status is None else EventStatus(status)
    return EventFilter(wanted, kind, chosen["since"], chosen["text"], blocked=blocked)


async def _full_kind(kind: str, queues: StoreQueues) -> str:
    """Return the registry key of a class from its name alone."""
    known = {key for name in queues.names for key in await queues.of(name).inspector.kinds()}
    if kind in known:
        return kind
    found = sorted(key for key in known if key.endswith(f".{kind}"))
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"--kind {kind}: could be {' or '.join(found)}: write one of them")
    close = difflib.get_close_matches(kind, [key.rpartition(".")[2] for key in known], n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    some = ", ".join(sorted(known)[:NAMED]) + (", …" if len(known) > NAMED else "")
    raise UsageError(
        f"--kind {shorten(kind, 40)}: no event is of this class: {hint}{queues.location.name} has "
        f"{some or 'no events'}"
    )
