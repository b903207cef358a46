"""Schedules in tests: what is due is appended at a moment that the test chooses."""

from lionpride import Executor
from lionpride.engine.schedule_firing import ScheduleFiring


async def fire(executor: Executor) -> float | None:
    """Append what is due, as the timer of a worker does; return the next instant."""
    room = executor.processor_config.get("max_queue_size")
    return await ScheduleFiring(executor.store, lambda: room).fire()
