"""``lionpride workers``: the workers of a store, and the events that each has claimed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ...drawing.text import duration, plural
from ...stores.inspector import WorkerRecord
from ..grammar import json_option, store_command
from ..output.overview_data import worker_data
from ..output.streams import tell
from ..output.table import json_line, show_table
from ..store.location import locate_store
from ..store.queues import StoreQueues

__all__ = ["workers"]

MOST = 20  # events that are named of one worker


@store_command("workers", help="List the workers of a store, and the events that each has claimed.")
@json_option("worker")
async def workers(store: str, queue: str | None, as_json: bool) -> int:
    """List the workers."""
    location = locate_store(store)
    async with StoreQueues(location, queue) as queues:
        found = [each for name in queues.names for each in await queues.of(name).workers()]
    if as_json:
        for each in found:
            tell(json_line(worker_data(each)))
        return 0
    if not found:
        tell(f"no worker is running; start one: lionpride work TARGET --store {location.name}")
        return 0
    _show(found)
    return 0


def _show(found: Sequence[WorkerRecord]) -> None:
    headings = ["worker", "queue", "host", "pid", "since", "seen", "holds"]
    rows = [
        [
            each.name,
            each.queue,
            each.host,
            str(each.pid),
            f"{datetime.fromtimestamp(each.since, UTC):%Y-%m-%d %H:%M:%S}" if each.since else "",
            f"{duration(each.silent)} ago" if each.alive else f"dead, {duration(each.silent)} ago",
            str(len(each.held)),
        ]
        for each in found
    ]
    show_table(headings, rows, {3, 6})
    named = [
        [worker.name, str(held.number), str(held.id), held.kind, str(held.attempt)]
        for worker in found
        for held in worker.held[:MOST]
    ]
    if named:
        tell("\n")
        show_table(["worker", "number", "id", "kind", "attempt"], named, {1, 4})
    for worker in found:
        if (more := len(worker.held) - MOST) > 0:
            tell(f"{worker.name} has {plural(more, 'more event')}: --json lists all")
