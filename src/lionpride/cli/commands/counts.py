"""``lionpride counts``: how many events of a store are in each status."""

from __future__ import annotations

from ...core import EventStatus
from ...drawing.text import one_line
from ..grammar import json_option, store_command
from ..output.streams import tell
from ..output.table import json_line, show_table
from ..pausing import pause_data, pauses_of
from ..store.location import locate_store
from ..store.queues import StoreQueues

__all__ = ["counts"]


@store_command("counts", help="Count the events in each queue of a store by status.")
@json_option("queue")
async def counts(store: str, queue: str | None, as_json: bool) -> int:
    """Count them, queue by queue."""
    async with StoreQueues(locate_store(store), queue) as queues:
        found = {name: await queues.of(name).counts() for name in queues.names}
        pauses = {name: await pauses_of(queues.of(name)) for name in queues.names}
    if as_json:
        for name, each in found.items():
            data = {"queue": name} | {status.value: n for status, n in each.items()}
            tell(json_line(data | pause_data(*pauses[name])))
        return 0
    rows = [[name, *(_cell(each[s]) for s in EventStatus)] for name, each in found.items()]
    if len(rows) != 1:
        sums = [sum(each[s] for each in found.values()) for s in EventStatus]
        rows.append(["all", *map(_cell, sums)])
    show_table(["queue", *EventStatus], rows, range(1, len(EventStatus) + 1))
    for name, (pause, _) in pauses.items():
        if pause is not None:
            tell(one_line(f"queue {name} is paused, {pause}"))
    return 0


def _cell(number: int) -> str:
    return f"{number:,}"
