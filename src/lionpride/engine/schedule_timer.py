"""ScheduleTimer: appends scheduled events when they are due, while a worker runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from ..errors import StoreError, ValidationError
from ..stores.clock import capped
from ..stores.contract import Store
from ..stores.listeners import Signal
from .schedule_firing import ScheduleFiring

__all__ = ("ScheduleTimer",)

_AGAIN: Final = 1.0
"""Seconds until another try after the store could not be reached."""

_BACK: Final = 1.0
"""Seconds by which the clock has to go back before the next instants are computed again."""

logger = logging.getLogger("lionpride")


class ScheduleTimer:
    """Waits for the next instant of the schedules of a queue.

    It reads the schedules when it starts, when one may have changed, and when one is due. Without
    schedules it has no timer. It does not depend on free slots, and a paused queue does not stop
    it. Each process has its own timer: the store lets one of them append the event.

    Args:
        store: The store.
        firing: Appends what is due.
        declared: The names of the schedules that the event types of this process declare.

    Attributes:
        declared: See above.
    """

    def __init__(self, store: Store, firing: ScheduleFiring, declared: Iterable[str] = ()) -> None:
        self._store = store
        self._firing = firing
        self.declared = tuple(declared)

    async def fire(self) -> None:
        """Append what is due now."""
        await self._firing.fire()

    def start(self, fail: Callable[[BaseException], object]) -> asyncio.Task[None]:
        """Append what is due from now on, in a task.

        Args:
            fail: Called with the error if the store fails for good.
        """

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                fail(error)

        task = asyncio.create_task(self._run(), name="lionpride-schedules")
        task.add_done_callback(ended)
        return task

    async def _run(self) -> None:
        """Append what is due, until cancelled.

        Raises:
            StoreError: if the store has failed for good.
        """
        changed = asyncio.Event()
        unsubscribe = self._store.subscribe(Signal.SCHEDULES, changed.set)
        try:
            while True:
                changed.clear()
                try:
                    following = await self._firing.fire()
                except StoreError as error:
                    if not error.retryable:
                        raise
                    logger.warning("the schedules cannot be read, and are read again: %s", error)
                    await asyncio.sleep(_AGAIN)
                    continue
                except ValidationError as error:  # others may read it; events run all the same
                    logger.error("the schedules cannot be used in this process: %s", error)  # noqa: TRY400 - the error is the user's
                    await changed.wait()
                    continue
                await self._wait(changed, following)
        finally:
            unsubscribe()

    async def _wait(self, changed: asyncio.Event, following: float | None) -> None:
        """Wait for a change, for the next instant, or until the clock was set back."""
        if following is None:
            await changed.wait()
            return
        now = self._store.time()
        while now < following and not changed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(capped(following - now)):
                    await changed.wait()
            before, now = now, self._store.time()
            if now < before - _BACK:
                return
