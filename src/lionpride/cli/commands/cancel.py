"""``lionpride cancel``: events of a store that wait, or run in whatever process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack
from uuid import UUID

from ...core import EventStatus
from ...stores.continuations import cancel_continuation, cancel_known
from ...stores.contract import Cancelled, Store
from ...stores.record import Record
from ..bulk import Change, Consent, change_matching, check_choice, confirm_options
from ..caller import caller
from ..grammar import argument, json_option, store_command
from ..output.streams import tell
from ..output.table import json_line
from ..selection import Chosen, filter_options
from ..store.event_ids import ID_HELP, find_all
from ..store.location import locate_store
from ..store.queues import StoreQueues
from ..usage import UsageError

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
        "that were appended with it. Give ids, or a filter for all that match."
    ),
    epilog=(
        "exit status: 0 if every event is cancelled or its worker was asked, 1 if one had "
        "already finished"
    ),
)
@argument("ids", metavar="[ID...]", nargs=-1, help=ID_HELP)
@filter_options
@confirm_options
@json_option("event")
async def cancel(
    store: str,
    queue: str | None,
    ids: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **chosen: Unpack[Chosen],
) -> int:
    """Cancel them; nothing is done if a name is not that of one event."""
    check_choice("cancel", ids, queue, chosen)
    async with StoreQueues(locate_store(store), queue) as queues:
        if not ids:
            consent = Consent(yes, dry_run)
            return await change_matching(queues, _CHANGE, consent, as_json, **chosen)
        if dry_run:
            raise UsageError("cancel: --dry-run needs a filter: leave the ids out")
        found = await find_all(queues, ids)
        answers = [await _cancel(queues, record) for record in found]
    for record, answer in zip(found, answers, strict=True):
        if as_json:
            told = {"id": str(record.id), "queue": record.queue, "answer": answer.value}
            tell(json_line(told))
        else:
            tell(f"{record.id}  {WORDS[answer]}")
    return _status(answers)


async def _cancel(queues: StoreQueues, record: Record) -> Cancelled:
    store = queues.of(record.queue)
    (answer,) = await store.cancel([record.id], by=caller())
    if answer is not Cancelled.SETTLED:
        return answer
    return await cancel_continuation(store, record.id, by=caller())


def _status(answers: Sequence[Cancelled]) -> int:
    return 1 if Cancelled.SETTLED in answers else 0


async def _cancel_many(store: Store, ids: Sequence[UUID]) -> Mapping[UUID, str]:
    answers = await cancel_known(store, ids, by=caller())
    return {uid: each.value for uid, each in answers.items() if each is not Cancelled.SETTLED}


_CHANGE = Change(
    "cancel",
    "cancelled, or their workers were asked to",
    (EventStatus.PENDING, EventStatus.PROCESSING, EventStatus.PENDING),
    _cancel_many,
)
