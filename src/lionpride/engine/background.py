"""A run beside the block of ``async with``: if it ends by itself, the block is not left waiting."""

from __future__ import annotations

import asyncio
import logging

from .processor import Processor

__all__ = ("Background",)

logger = logging.getLogger("lionpride")


class Background:
    """Runs a processor beside a block, until the block is left.

    Should the run fail meanwhile, or an event have asked this process to exit, the task of the
    block is cancelled, as that of ``asyncio.TaskGroup`` is: it may be waiting for a result that
    nobody works on any more.

    Args:
        processor: It was started.
        grace: Seconds that running events get to end when the block is left.
    """

    def __init__(self, processor: Processor, grace: float) -> None:
        self._processor = processor
        self._grace = grace
        self._owner = asyncio.current_task()
        self._in_block = True
        self._called_off = False
        self._task = asyncio.create_task(self._run(), name="lionpride-executor")
        self._task.add_done_callback(self._ended)

    async def _run(self) -> BaseException | None:
        """Run until stopped; what would tear the event loop down is returned instead."""
        try:
            await self._processor.execute()
        except (KeyboardInterrupt, SystemExit) as error:
            return error
        return None

    def _ended(self, task: asyncio.Task[BaseException | None]) -> None:
        if self._in_block and self._owner is not None and self._failure() is not None:
            self._called_off = True
            self._owner.cancel()

    def _failure(self) -> BaseException | None:
        """What the run has to say; None if it was stopped, or cancelled."""
        task = self._task
        if not task.done() or task.cancelled():
            return None
        return task.exception() or task.result()

    async def leave(self, grace: float | None = None) -> None:
        """Give what runs its grace time, and send the rest back to pending.

        Args:
            grace: Seconds; None for those that were given at the start.
        """
        self._in_block = False
        if self._called_off and self._owner is not None:
            self._owner.uncancel()
        try:
            await self._processor.stop()
            await asyncio.wait([self._task], timeout=self._grace if grace is None else grace)
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])

    def conclude(self, error: BaseException | None) -> None:
        """Raise what made the run fail, if the block was not left for a reason of its own.

        Args:
            error: What the block raised.
        """
        failure = self._failure()
        if failure is None:
            return
        if error is None or self._called_off or not isinstance(failure, Exception):
            raise failure  # it goes before what it has caused in the block
        logger.error("the run has failed: %s", failure, exc_info=failure)
