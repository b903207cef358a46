"""``lionpride why``: why an event of a store waits."""

from __future__ import annotations

from typing import Any

from ...rules.explain import Why, explain
from ..grammar import argument, json_option, store_command
from ..output.streams import tell
from ..output.table import json_line
from ..store.event_ids import ID_HELP, find_all
from ..store.location import locate_store
from ..store.queues import StoreQueues

__all__ = ["why"]


@store_command(
    "why",
    help=(
        "Explain why events of a store wait: their position, what blocks them and until when, "
        "and when they may start."
    ),
)
@argument("ids", metavar="ID...", nargs=-1, required=True, help=ID_HELP)
@json_option("event")
async def why(store: str, queue: str | None, ids: tuple[str, ...], as_json: bool) -> int:
    """Say it."""
    said = []
    async with StoreQueues(locate_store(store), queue) as queues:
        for record in await find_all(queues, ids):
            standing = await queues.of(record.queue).explain(record.id)
            if standing is not None:  # it may have been removed
                said.append(explain(standing))
    for i, each in enumerate(said):
        tell(json_line(_plain(each)) if as_json else ("\n" if i else "") + str(each))
    return 0


def _plain(why: Why) -> dict[str, Any]:
    holds = [hold._asdict() for hold in why.holds]
    return why._asdict() | {"id": str(why.id), "status": why.status.value, "holds": holds}
