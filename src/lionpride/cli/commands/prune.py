"""``lionpride prune``: finished events of a store are removed."""

from __future__ import annotations

from typing import Final

import click

from ...core import EventStatus
from ...model.execution import TERMINAL
from ..bulk import Consent, ask
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
@option("--yes", is_flag=True, help="do not ask")
@json_option("queue")
async def prune(
    store: str,
    queue: str | None,
    statuses: tuple[str, ...],
    before: float | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Remove them in pieces, and print how many finished events are left."""
    wanted = [EventStatus(each) for each in dict.fromkeys(statuses)]
    async with StoreQueues(locate_store(store), queue) as queues:
        counts = [await queues.of(name).counts() for name in queues.names]
        count = sum(each[status] for each in counts for status in wanted)
        which = ", ".join(wanted)
        older = "" if before is None else ", those that finished before the given time"
        question = f"prune: remove events that are {which} ({count:,}){older}?"
        if count and not ask(question, Consent(yes, dry_run=False)):
            return 1
        for name in queues.names:
            await queues.of(name).prune(wanted, before=before)
            left = {s: n for s, n in (await queues.of(name).counts()).items() if s in TERMINAL}
            if as_json:
                numbers = {status.value: n for status, n in left.items()}
                tell(json_line({"queue": name, "left": numbers}))
            else:
                tell(f"{name}: {told_counts(left) or 'no finished events'} left")
    return 0
