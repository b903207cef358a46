"""``lionpride resume``: the events of a queue, or of all queues, are started again."""

from __future__ import annotations

from ..grammar import json_option, store_command
from ..pausing import pause_all, show_pauses
from ..store.location import locate_store
from ..store.queues import StoreQueues

__all__ = ["resume"]


@store_command(
    "resume",
    help=(
        "Start events again after `pause`, in all queues or in one. It does not end the wait that "
        "a service has asked for. A run of a file is resumed by the same `lionpride run` again."
    ),
)
@json_option("queue")
async def resume(store: str, queue: str | None, as_json: bool) -> int:
    """Resume them."""
    async with StoreQueues(locate_store(store), queue) as queues:
        await pause_all(queues, queue, is_pause=False)
        await show_pauses(queues, as_json)
    return 0
