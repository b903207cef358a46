"""``lionpride ls``: the events of a store, one a line."""

from __future__ import annotations

import argparse

from ..core import EventStatus
from ..drawing.text import duration, how_far, shorten
from ..stores.record import Record
from ..view.records import created_of, error_of, seconds_of
from ..view.redact import called, marked
from .durable import Commands, Shelf, add_command
from .place import place_of
from .records import listed
from .streams import tell, warn
from .table import json_line, show_table
from .usage import count_from_zero, whole_number

__all__ = ["add"]

LIMIT = 100
PAGE = 500  # events read at a time


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "ls",
        ls,
        summary="list the events of a store",
        description="List the events of a store in order of arrival.",
    )
    parser.add_argument(
        "--status", choices=list(map(str, EventStatus)), help="only those in one status"
    )
    parser.add_argument(
        "--limit", metavar="N", type=whole_number, default=LIMIT, help=f"at most N ({LIMIT})"
    )
    parser.add_argument(
        "--after",
        metavar="N",
        type=count_from_zero,
        default=0,
        help="only those that came after number N",
    )
    parser.add_argument("--json", action="store_true", help="write a JSON object for each event")
    parser.add_argument("--reveal", action="store_true", help="write secrets too, with --json")


async def ls(options: argparse.Namespace) -> int:
    """List them."""
    status = None if options.status is None else EventStatus(options.status)
    found: list[Record] = []
    show = (lambda record: record) if options.reveal else marked
    count, after, more = 0, options.after, True
    async with Shelf(place_of(options.store), options.queue) as shelf:
        while count < options.limit and more:
            size = min(PAGE, options.limit - count)
            page = await shelf.page(status, after, size)
            count, more = count + len(page), len(page) == size
            after = page[-1].number if page else after
            if not options.json:
                found += page
            elif page and not tell("\n".join(json_line(listed(show(record))) for record in page)):
                return 0
        more = more and bool(await shelf.page(status, after, 1))
        several = len(shelf.queues) > 1
    if not options.json:
        _show(found, several)
    if more:
        warn(f"there are more: --after {after} goes on, --limit N shows N at once")
    return 0


def _show(found: list[Record], several: bool) -> None:
    headings = [
        "number",
        "id",
        "queue",
        "kind",
        "about",
        "status",
        "created",
        "tries",
        "ran",
        "why",
    ]
    rows = [
        [
            str(record.number),
            str(record.id),
            record.queue,
            record.kind,
            shorten(called(record), 40),
            record.status.value,
            f"{created_of(record.payload):%Y-%m-%d %H:%M:%S}",
            str(record.tries),
            "" if (seconds := seconds_of(record)) is None else duration(seconds),
            shorten(how_far(record.progress, record.chunks), 60) or error_of(record, 60),
        ]
        for record in found
    ]
    if not several:  # each queue is as a rule that of its kind
        headings.remove("queue")
        rows = [row[:2] + row[3:] for row in rows]
    show_table(headings, rows, {0, headings.index("tries"), headings.index("ran")})
