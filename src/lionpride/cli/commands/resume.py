"""``lionpride resume``: the events of a queue, or of all queues, are started again."""

from __future__ import annotations

from ..durable import Shelf
from ..grammar import json_option, store_command
from ..pausing import pause_all, show_pauses
from ..place import place_of

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
    async with Shelf(place_of(store), queue) as shelf:
        await pause_all(shelf, queue, is_pause=False)
        await show_pauses(shelf, as_json)
    return 0
