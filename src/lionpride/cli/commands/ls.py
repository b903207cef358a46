"""``lionpride ls``: the events of a store, one a line."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Unpack

from ...drawing.text import duration, how_far, shorten
from ...stores.inspector import EventFilter, Inspector
from ...stores.record import Record
from ...view.records import cancelled_by, created_of, error_of, seconds_of, status_of
from ...view.redact import hide_secrets, label_of
from ..grammar import json_option, option, store_command
from ..output.streams import tell, warn
from ..output.table import json_line, show_table
from ..selection import Chosen, filter_of, filter_options
from ..store.location import locate_store
from ..store.queues import StoreQueues
from ..transfer.records import listed
from ..usage import DAY, whole_number

__all__ = ["ls"]

LIMIT = 100
PAGE = 500  # events read at a time
WIDE = 150  # a terminal of at least so many characters shows all columns


class Window(NamedTuple):
    """The events to list, by their numbers.

    Attributes:
        before: Only events with a number below it.
        after: Only events with a number above it.
        limit: Maximum number of events.
    """

    before: int | None
    after: int | None
    limit: int

    @property
    def goes_up(self) -> bool:
        """True if the first events above a number are listed, and not the newest."""
        return self.after is not None and self.before is None


class Column(NamedTuple):
    """A column of the table.

    Attributes:
        heading: Its name.
        text: Returns the cell of a record; the second argument is the time, a Unix timestamp.
        right: True if it is aligned to the right.
        always: True if a narrow terminal shows it too.
    """

    heading: str
    text: Callable[[Record, float], str]
    right: bool = False
    always: bool = False


@store_command(
    "ls",
    help=(
        "List the events of a store, the newest first; with --after, and without --before, the "
        "first ones above that number."
    ),
)
@filter_options
@option(
    "--limit", metavar="N", type=whole_number, default=LIMIT, help=f"at most N events ({LIMIT})"
)
@json_option("event")
@option("--reveal", is_flag=True, help="write secrets too, with --json")
async def ls(
    store: str,
    queue: str | None,
    limit: int,
    as_json: bool,
    reveal: bool,
    **chosen: Unpack[Chosen],
) -> int:
    """List them.

    Raises:
        UsageError: if the filters make no sense.
    """
    window = Window(chosen["before"], chosen["after"], limit)
    async with StoreQueues(locate_store(store), queue) as queues:
        what = await filter_of(chosen, queues)
        inspectors = [queues.of(name).inspector for name in queues.names]
        found, more = await _find(inspectors, what, window)
        now = queues.of(queues.names[0]).time() if queues.names else 0.0
    if as_json:
        shown = found if reveal else list(map(hide_secrets, found))
        tell("\n".join(json_line(listed(record)) for record in shown))
    else:
        _show(found, now, several=len(queues.names) > 1)
    if more:
        turn = f"--after {found[0].number}" if window.goes_up else f"--before {found[-1].number}"
        warn(f"there are more: {turn} shows the next, --limit N shows N at once")
    return 0


async def _find(
    queues: Sequence[Inspector], what: EventFilter, window: Window
) -> tuple[list[Record], bool]:
    """Return the events to list, the newest first, and whether there are more."""
    found: list[Record] = []
    before, after, limit = window
    up = window.goes_up
    while len(found) <= limit:
        size = min(PAGE, limit + 1 - len(found))
        pages = [
            await each.list_events(what, before=before, after=after, limit=size) for each in queues
        ]
        page = sorted((one for each in pages for one in each), key=lambda one: -one.number)
        page = page[-size:] if up else page[:size]
        found = page + found if up else found + page
        if len(page) < size:
            return found, False
        before, after = (before, page[0].number) if up else (page[-1].number, after)
    return (found[1:] if up else found[:-1]), True


def _age(record: Record, now: float) -> str:
    seconds = max(0.0, now - created_of(record.payload).timestamp())
    return duration(seconds) if seconds < 2 * DAY else f"{seconds / DAY:.0f} days"


def _ran(record: Record, _: float) -> str:
    return "" if (seconds := seconds_of(record)) is None else duration(seconds)


def _why(record: Record, _: float) -> str:
    why = shorten(how_far(record.progress, record.chunks), 60) or error_of(record, 60)
    by = cancelled_by(record)
    return f"{why} (by {shorten(by, 40)})" if by is not None else why


COLUMNS: Final = (
    Column("number", lambda record, _: str(record.number), right=True, always=True),
    Column("id", lambda record, _: str(record.id)),
    Column("queue", lambda record, _: record.queue),
    Column("kind", lambda record, _: record.kind, always=True),
    Column("about", lambda record, _: shorten(label_of(record), 40)),
    Column("status", lambda record, _: status_of(record), always=True),
    Column("age", _age, right=True, always=True),
    Column("attempts", lambda record, _: str(record.attempt_number), right=True),
    Column("ran", _ran, right=True),
    Column("why", _why, always=True),
)


def _show(found: Sequence[Record], now: float, *, several: bool) -> None:
    narrow = sys.stdout.isatty() and shutil.get_terminal_size().columns < WIDE
    columns = [
        each
        for each in COLUMNS
        if (each.always or not narrow) and (several or each.heading != "queue")
    ]
    rows = [[each.text(record, now) for each in columns] for record in found]
    right = {i for i, each in enumerate(columns) if each.right}
    show_table([each.heading for each in columns], rows, right)
