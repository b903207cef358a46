"""``lionpride cancel``: events of a store that wait, or run in whatever process."""

from __future__ import annotations

from collections.abc import Sequence

from ...stores.continuations import cancel_continuation
from ...stores.contract import Cancelled
from ...stores.record import Record
from ..durable import Shelf
from ..find import ID_HELP, find_all
from ..grammar import argument, json_option, store_command
from ..place import place_of
from ..streams import tell
from ..table import json_line

__all__ = ["cancel"]

WORDS = {
    Cancelled.DONE: "cancelled",
    Cancelled.CLAIMED: "is running: its worker was asked to cancel it",
    Cancelled.SETTLED: "had ended before",
}


@store_command(
    "cancel",
    help=(
        "Cancel pending events at once, and ask the workers of running events to cancel them. "
        "If another event continues an event, that event is cancelled, and the pending events "
        "that were appended with it."
    ),
    epilog=(
        "exit status: 0 if every event is cancelled or its worker was asked, 1 if one had "
        "already finished"
    ),
)
@argument("ids", metavar="ID...", nargs=-1, required=True, help=ID_HELP)
@json_option("event")
async def cancel(store: str, queue: str | None, ids: tuple[str, ...], as_json: bool) -> int:
    """Cancel them; nothing is done if a name is not that of one event."""
    async with Shelf(place_of(store), queue) as shelf:
        found = await find_all(shelf, ids)
        answers = [await _cancel(shelf, record) for record in found]
    for record, answer in zip(found, answers, strict=True):
        if as_json:
            told = {"id": str(record.id), "queue": record.queue, "answer": answer.value}
            tell(json_line(told))
        else:
            tell(f"{record.id}  {WORDS[answer]}")
    return _status(answers)


async def _cancel(shelf: Shelf, record: Record) -> Cancelled:
    store = shelf.of(record.queue)
    (answer,) = await store.cancel([record.id])
    return await cancel_continuation(store, record.id) if answer is Cancelled.SETTLED else answer


def _status(answers: Sequence[Cancelled]) -> int:
    return 1 if Cancelled.SETTLED in answers else 0
