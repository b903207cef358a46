"""``lionpride retry``: finished events of a store wait again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack
from uuid import UUID

from ...drawing.text import plural
from ...errors import OperationError
from ...rules.state_machine import RETRYABLE
from ...stores.bulk import retry_known
from ...stores.contract import Store
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

__all__ = ["retry"]

STATUSES = sorted(status.value for status in RETRYABLE)


@store_command(
    "retry",
    help=(
        "Return events that did not complete to pending; the workers of their queue run them "
        "again. Give ids, or a filter for all that match."
    ),
)
@argument("ids", metavar="[ID...]", nargs=-1, help=ID_HELP)
@filter_options
@confirm_options
@json_option("event")
async def retry(
    store: str,
    queue: str | None,
    ids: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **chosen: Unpack[Chosen],
) -> int:
    """Send them back: those that are named, all or none; or all that match."""
    check_choice("retry", ids, queue, chosen)
    async with StoreQueues(locate_store(store), queue) as queues:
        if not ids:
            consent = Consent(yes, dry_run)
            return await change_matching(queues, _CHANGE, consent, as_json, **chosen)
        if dry_run:
            raise UsageError("retry: --dry-run needs a filter: leave the ids out")
        count = await _named(queues, ids, as_json)
    if not as_json:
        tell(f"{plural(count, 'event')} {'is' if count == 1 else 'are'} pending again")
    return 0


async def _named(queues: StoreQueues, names: Sequence[str], as_json: bool) -> int:
    found = await find_all(queues, names)
    for record in found:
        if record.status not in RETRYABLE:
            raise OperationError(
                f"{record.id} is {record.status.value}: only {' or '.join(STATUSES)} events "
                "can be retried; nothing was changed"
            )
    for queue in dict.fromkeys(record.queue for record in found):
        mine = [record for record in found if record.queue == queue]
        await queues.of(queue).retry([record.id for record in mine], by=caller())
        for record in mine if as_json else ():
            head = {"id": str(record.id), "queue": record.queue}
            tell(json_line(head | {"was": record.status.value, "answer": "done"}))
    return len(found)


async def _retry(store: Store, ids: Sequence[UUID]) -> Mapping[UUID, str]:
    return dict.fromkeys(await retry_known(store, ids, by=caller()), "done")


_CHANGE = Change("retry", "pending again", sorted(RETRYABLE), _retry)
