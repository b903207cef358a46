"""Pauses of the queues of a store."""

from __future__ import annotations

from ..drawing.text import one_line
from ..stores.contract import is_paused
from ..view.monitor import Monitor
from .caller import caller
from .output.streams import tell
from .output.table import json_line
from .store.queues import StoreQueues
from .usage import UsageError

__all__ = ["pause_all", "show_pauses"]


async def pause_all(queues: StoreQueues, queue: str | None, *, is_pause: bool) -> None:
    """Pause or resume one queue; or all queues, and those that are made later.

    Raises:
        UsageError: if the store has no queue.
    """
    if queue is not None:
        store = queues.of(queue)
        if is_pause:
            await store.pause(by=caller())
        elif await is_paused(store):
            await store.pause(0.0)
        return
    if not queues.names:
        raise UsageError(f"{queues.location.name} has no queue yet: append an event first")
    monitor = Monitor(queues.location.url)
    try:
        await (monitor.pause(caller()) if is_pause else monitor.resume())
    finally:
        await monitor.close()


async def show_pauses(queues: StoreQueues, as_json: bool) -> None:
    """Print whether each queue is paused, and by whom."""
    for name in queues.names:
        pause = await queues.of(name).pause_record()
        if as_json:
            tell(json_line({"queue": name, "paused": None if pause is None else pause._asdict()}))
        else:
            tell(one_line(f"{name}: " + ("not paused" if pause is None else f"paused, {pause}")))
