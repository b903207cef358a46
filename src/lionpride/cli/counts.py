"""``lionpride counts``: how many events of a store are in each status."""

from __future__ import annotations

import argparse

from ..core import EventStatus
from .durable import Commands, Shelf, add_command
from .place import place_of
from .streams import tell
from .table import json_line, show_table

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "counts",
        counts,
        summary="count the events of a store by status",
        description="Count the events in each queue of a store by status.",
    )
    parser.add_argument("--json", action="store_true", help="write a JSON object for each queue")


async def counts(options: argparse.Namespace) -> int:
    """Count them, queue by queue."""
    async with Shelf(place_of(options.store), options.queue) as shelf:
        found = {queue: await shelf.of(queue).counts() for queue in shelf.queues}
    if options.json:
        for queue, each in found.items():
            tell(json_line({"queue": queue} | {status.value: n for status, n in each.items()}))
        return 0
    rows = [[queue, *(_cell(each[s]) for s in EventStatus)] for queue, each in found.items()]
    if len(rows) != 1:
        sums = [sum(each[s] for each in found.values()) for s in EventStatus]
        rows.append(["all", *map(_cell, sums)])
    show_table(["queue", *EventStatus], rows, range(1, len(EventStatus) + 1))
    return 0


def _cell(number: int) -> str:
    return f"{number:,}"
