"""Pauses of the queues of a store."""

from __future__ import annotations

from typing import Any

from ..drawing.text import one_line
from ..rules.action import PauseRecord
from ..stores.contract import Store, is_paused
from ..view.monitor import Monitor
from .caller import caller
from .output.streams import tell
from .output.table import json_line
from .store.queues import StoreQueues
from .usage import UsageError

__all__ = ["pause_all", "pause_data", "pauses_of", "show_pauses"]


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
            await store.pause(0.0, by=caller())
        return
    if not queues.names:
        raise UsageError(f"{queues.location.name} has no queue yet: append an event first")
    monitor = Monitor(queues.location.url)
    try:
        await (monitor.pause(caller()) if is_pause else monitor.resume(caller()))
    finally:
        await monitor.close()


async def show_pauses(queues: StoreQueues, as_json: bool) -> None:
    """Print whether each queue is paused, and who has paused or resumed it."""
    for name in queues.names:
        pause, resumed = await pauses_of(queues.of(name))
        if as_json:
            tell(json_line({"queue": name} | pause_data(pause, resumed)))
        else:
            state = "not paused" if pause is None else f"paused, {pause}"
            tell(one_line(f"{name}: {state}" + (f"; resumed {resumed}" if resumed else "")))


async def pauses_of(store: Store) -> tuple[PauseRecord | None, PauseRecord | None]:
    """Return who has paused a queue, and who has ended its last pause; None if that is unknown."""
    return await store.pause_record(), await store.resume_record()


def pause_data(pause: PauseRecord | None, resumed: PauseRecord | None) -> dict[str, Any]:
    """Return these records as JSON takes them."""
    return {
        "paused": None if pause is None else pause._asdict(),
        "resumed": None if resumed is None else resumed._asdict(),
    }
