"""``lionpride prune``: finished events of a store are removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import click

from ...core import EventStatus
from ...drawing.text import plural
from ...model.execution import TERMINAL
from ...stores.contract import Store
from ..bulk import Consent, ask, confirm_options
from ..grammar import json_option, option, store_command
from ..output.streams import tell
from ..output.table import json_line
from ..store.location import locate_store
from ..store.queues import StoreQueues, told_counts
from ..usage import past_time

__all__ = ["prune"]

STATUSES: Final = [status.value for status in EventStatus if status in TERMINAL]
DEFAULT: Final = ("completed", "failed", "aborted")


@store_command(
    "prune",
    help=(
        "Remove finished events, those that finished first before others. Parents of events that "
        "have not finished stay."
    ),
)
@option(
    "--status",
    "statuses",
    metavar="S",
    multiple=True,
    type=click.Choice(STATUSES),
    default=DEFAULT,
    help=(
        f"only events with this status, {', '.join(STATUSES)}; may be repeated (default: "
        f"{', '.join(DEFAULT)})"
    ),
)
@option(
    "--before",
    metavar="T",
    type=past_time,
    help="only events that finished before then: 12h or 7d ago, or a time as 2026-01-31T12:00",
)
@confirm_options
@json_option("queue")
async def prune(
    store: str,
    queue: str | None,
    statuses: tuple[str, ...],
    before: float | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Remove them in pieces; print how many were removed, and how many finished events are left."""
    wanted = [EventStatus(each) for each in dict.fromkeys(statuses)]
    async with StoreQueues(locate_store(store), queue) as queues:
        matching = {}
        for name in queues.names:
            one = queues.of(name)
            await one.counts()  # opens it, so that its time is known
            bound = one.time() if before is None else before
            matching[name] = bound, await _matching(one, wanted, bound)
        if dry_run:
            for name, (_, found) in matching.items():
                _tell_dry_run(name, found, as_json)
            return 0
        count = sum(sum(found.values()) for _, found in matching.values())
        older = "" if before is None else " and finished before the given time"
        which = " or ".join((", ".join(wanted[:-1]), wanted[-1])) if wanted[1:] else wanted[0]
        question = f"prune: remove {plural(count, 'event')}, which are {which}{older}?"
        if count and not ask(question, Consent(yes, dry_run)):
            return 1
        for name, (bound, found) in matching.items():
            one = queues.of(name)
            await one.prune(wanted, before=bound)
            kept = await _matching(one, wanted, bound)
            removed = {status: max(0, n - kept[status]) for status, n in found.items()}
            left = {status: n for status, n in (await one.counts()).items() if status in TERMINAL}
            if as_json:
                tell(json_line({"queue": name, "removed": _plain(removed), "left": _plain(left)}))
            else:
                told = f"removed {told_counts(removed) or 'nothing'}"
                tell(f"{name}: {told}; {told_counts(left) or 'no finished events'} left")
    return 0


async def _matching(
    store: Store, statuses: Sequence[EventStatus], before: float
) -> dict[EventStatus, int]:
    """Return the number of events of each status that finished before a Unix timestamp."""
    found = await store.inspector.finished_counts(0.0, max(before, 1.0))
    return {status: found.get((0, status), 0) for status in statuses}


def _tell_dry_run(queue: str, found: Mapping[EventStatus, int], as_json: bool) -> None:
    if as_json:
        tell(json_line({"queue": queue, "matching": sum(found.values())} | _plain(found)))
    else:
        tell(f"{queue}: would remove {told_counts(found) or 'nothing'}")


def _plain(counts: Mapping[EventStatus, int]) -> dict[str, int]:
    return {status.value: n for status, n in counts.items()}
