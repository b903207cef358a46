"""The run of an executor in the background, for ``with executor:``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..engine.executor import Executor

__all__ = ("Run",)


class Run:
    """A task of the event loop that enters ``async with executor:``, and leaves it later.

    Args:
        executor: The executor.
        failed: Called if the run fails.
    """

    def __init__(self, executor: Executor, failed: Callable[[], object]) -> None:
        self._executor = executor
        self._failed = failed
        self.is_interrupted = False
        """True after Ctrl-C while the executor starts or stops; set by the main thread."""

        self._is_aborted = False
        self._entered: asyncio.Future[None] | None = None
        self._leave: asyncio.Future[BaseException | None] | None = None
        self._task: asyncio.Task[BaseException | None] | None = None

    async def begin(self) -> None:
        """Start the executor.

        Raises:
            Exception: any error of the start.
        """
        if self._is_aborted:
            raise asyncio.CancelledError
        loop = asyncio.get_running_loop()
        self._entered, self._leave = loop.create_future(), loop.create_future()
        self._task = task = loop.create_task(self._hold(), name="lionpride-sync-run")
        try:
            await asyncio.wait((task, self._entered), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.abort()
            raise
        if not self._entered.done():
            self._raise_failure()

    async def end(self, error: BaseException | None) -> None:
        """Stop the executor; running events have its grace time. A cancellation ends that.

        Args:
            error: The error of the block.

        Raises:
            BaseException: the error of the run, if it has failed.
        """
        assert self._task is not None, "begin() sets it"
        assert self._leave is not None, "begin() sets it"
        if not self._leave.done():
            self._leave.set_result(error)
        try:
            await asyncio.wait((self._task,))
        except asyncio.CancelledError:
            await self.abort()
            raise
        self._raise_failure()

    @property
    def has_ended(self) -> bool:
        """True if the executor has stopped, or will not start."""
        return self._is_aborted if self._task is None else self._task.done()

    def cancel(self) -> None:
        """Stop the executor without the grace time, and do not wait. A repeat changes nothing."""
        if not self._is_aborted:
            self._is_aborted = True
            if self._task is not None:
                self._task.cancel()

    async def abort(self) -> None:
        """Stop the executor without the grace time."""
        self.cancel()
        if self._task is not None:
            await asyncio.wait((self._task,))

    def _raise_failure(self) -> None:
        assert self._task is not None
        failure = None if self._task.cancelled() else self._task.result()
        if isinstance(failure, asyncio.CancelledError) and self._is_aborted:
            return
        if failure is not None:
            raise failure

    async def _hold(self) -> BaseException | None:
        """Enter and leave; return an error, since SystemExit would end the loop."""
        assert self._task is not None
        assert self._entered is not None
        assert self._leave is not None
        executor = self._executor
        try:
            await executor.__aenter__()
            self._entered.set_result(None)
            try:
                error = await self._leave
            except asyncio.CancelledError as cancelled:
                error = cancelled
                if self._is_aborted:
                    self._task.cancel()  # the grace time too
                else:
                    self._failed()
            traceback = None if error is None else error.__traceback__
            await executor.__aexit__(None if error is None else type(error), error, traceback)
        except BaseException as failure:
            return failure
        return None
