"""``lionpride retry``: ended events of a store wait again."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import click

from ...core import EventStatus
from ...drawing.text import plural
from ...errors import NotFoundError, OperationError
from ...rules.state_machine import RETRYABLE
from ...stores.record import Record
from ..durable import Shelf
from ..find import ID_HELP, find_all
from ..grammar import argument, json_option, option, store_command
from ..place import place_of
from ..streams import tell
from ..table import json_line
from ..usage import UsageError

__all__ = ["retry"]

PAGE = 500  # events sent back at a time
STATUSES = sorted(status.value for status in RETRYABLE)


@store_command(
    "retry",
    help=(
        "Return events that did not complete to pending; the workers of their queue run them again."
    ),
)
@argument("ids", metavar="[ID...]", nargs=-1, help=ID_HELP)
@option(
    "--status",
    metavar="S",
    type=click.Choice(STATUSES),
    help=f"all events with this status, in place of ids: {', '.join(STATUSES)}",
)
@json_option("event")
async def retry(
    store: str, queue: str | None, ids: tuple[str, ...], status: str | None, as_json: bool
) -> int:
    """Send them back: those that are named, all or none; or all of a status."""
    if bool(ids) == (status is not None):
        raise UsageError("retry: give the ids of events, or --status failed for all failed events")
    async with Shelf(place_of(store), queue) as shelf:
        if status is None:
            count = await _named(shelf, ids, as_json)
        else:
            count = await _all(shelf, EventStatus(status), as_json)
    if not as_json:
        tell(f"{plural(count, 'event')} {'is' if count == 1 else 'are'} pending again")
    return 0


async def _named(shelf: Shelf, names: Sequence[str], as_json: bool) -> int:
    found = await find_all(shelf, names)
    for record in found:
        if record.status not in RETRYABLE:
            raise OperationError(
                f"{record.id} is {record.status.value}: only {' or '.join(STATUSES)} events "
                "can be retried; nothing was changed"
            )
    queues = dict.fromkeys(record.queue for record in found)
    for queue in queues:
        mine = [record for record in found if record.queue == queue]
        await shelf.of(queue).retry([record.id for record in mine])
        _tell(mine, as_json)
    return len(found)


async def _all(shelf: Shelf, status: EventStatus, as_json: bool) -> int:
    """Return all present events of a status to the queue; events that fail again stay."""
    count = 0
    for queue in shelf.queues:
        store, after, last = shelf.of(queue), 0, await shelf.of(queue).last_arrival()
        while page := await store.list_records(status, after=after, limit=PAGE):
            after = page[-1].number
            sent = [record for record in page if record.number <= last]
            sent = await _send(shelf, queue, sent)
            _tell(sent, as_json)
            count += len(sent)
    return count


async def _send(shelf: Shelf, queue: str, records: Sequence[Record]) -> list[Record]:
    """Send back those that still can be; others may be at work on the same events."""

    async def done(ids: Sequence[UUID]) -> bool:
        try:
            await shelf.of(queue).retry(ids)
        except (OperationError, NotFoundError):
            return False
        return True

    if await done([record.id for record in records]):
        return list(records)
    return [record for record in records if await done([record.id])]


def _tell(records: Sequence[Record], as_json: bool) -> None:
    if as_json:
        for record in records:
            was = record.status.value
            tell(json_line({"id": str(record.id), "queue": record.queue, "was": was}))
