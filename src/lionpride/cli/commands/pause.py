"""``lionpride pause``: no event of a queue, or of any queue, is started until ``resume``."""

from __future__ import annotations

from ..grammar import json_option, store_command
from ..pausing import pause_all, show_pauses
from ..store.location import locate_store
from ..store.queues import StoreQueues

__all__ = ["pause"]


@store_command(
    "pause",
    help=(
        "Start no more events, in all queues or in one, in every process, until `resume`. Running "
        "events go on. Without --queue, queues that are made later are paused, too."
    ),
)
@json_option("queue")
async def pause(store: str, queue: str | None, as_json: bool) -> int:
    """Pause them; the store keeps who has done it."""
    async with StoreQueues(locate_store(store), queue) as queues:
        await pause_all(queues, queue, is_pause=True)
        await show_pauses(queues, as_json)
    return 0
