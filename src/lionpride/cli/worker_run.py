"""The run of a worker: it works on queues until it is asked to stop, or nothing is left."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from ..core import EventStatus, Executor
from ..drawing.text import duration, shorten, trouble
from ..errors import OperationError, StoreError
from ..model.event_data import EventData
from ..model.registry import key_of
from ..stores.contract import is_paused
from ..worker.recycling import RECYCLED, Recycling
from ..worker.supervisor_link import State
from .interrupts import Interrupts
from .output.screen import LogScreen, PlainScreen, Screen
from .output.statistics import Statistics, error_text
from .output.summary import summarize
from .tasks import background, first_of

__all__ = ["WorkerRun", "WorkerStatistics"]

SOON: Final = 0.05  # seconds between two looks whether the work has begun
REMEMBERED: Final = 10_000  # events of a status whose times are summed up at the end, at least
FIRST, LONGEST = 1.0, 30.0  # seconds before a store that failed is tried again: twice as long each


class WorkerStatistics(Statistics):
    """Counts the events that this process runs, also if another process appended them.

    It is a light observer, which sees only some of the completed events. The number of the others
    is looked up.

    Args:
        say: Called with a message for each event that did not complete.
        quick: Returns the number of completed events that it has not seen.
    """

    def __init__(self, say: Callable[[str], None], quick: Callable[[], int]) -> None:
        super().__init__({})
        self._say = say
        self._quick = quick
        self._cancelled = 0

    @property
    def counts(self) -> dict[EventStatus, int]:
        """How many events are in each status."""
        completed = self._counts[EventStatus.COMPLETED] + self._quick()
        running = {EventStatus.PROCESSING: len(self.running)}
        return self._counts | running | {EventStatus.COMPLETED: completed}

    @counts.setter
    def counts(self, counts: dict[EventStatus, int]) -> None:
        self._counts = counts

    @property
    def by_hand(self) -> int:
        return self._cancelled

    def _note_by_hand(self, uid: UUID, by_hand: bool) -> None:
        """Count it; a worker may run for months, and keeps no ids."""
        self._cancelled += by_hand

    def _note_failure(self, event: EventData, line: int | None, status: EventStatus) -> None:
        """Say it now, when it happens, and not once more at the end."""
        why = shorten(error_text(event), 200)
        self._say(f"{status.value}  {key_of(type(event))}  {event.id}  {why}".rstrip())

    def _took(self, status: EventStatus, seconds: float) -> None:
        """Remember how long the last events took: a worker may run for months."""
        super()._took(status, seconds)
        times = self.durations[status]
        if len(times) >= 2 * REMEMBERED:
            del times[:-REMEMBERED]

    def _count(self, before: EventStatus | None, after: EventStatus | None) -> None:
        """Count events that have finished: the store counts those that wait.

        A claim that is released has been shown as PROCESSING, and was never started.
        """
        if after not in (None, EventStatus.PENDING, EventStatus.PROCESSING):
            self._counts[after] += 1


class WorkerRun:
    """Runs the queues of started executors, once.

    If the store fails and another try may succeed, it is tried again, with growing pauses. So a
    restart of a server does not end the workers.

    Args:
        executors: The executors, one for each queue.
        store: The name of the store.
        until_empty: True to end when no event of the queues is pending or running.
        quiet: True to report errors only.
        has_log: True to write messages to the log, which has the failures of events already.
        recycling: When this process has done enough.
        on_state: Called with each new state.
    """

    def __init__(
        self,
        executors: Sequence[Executor],
        store: str,
        *,
        until_empty: bool,
        quiet: bool,
        has_log: bool = False,
        recycling: Recycling | None = None,
        on_state: Callable[[State], object] = lambda _: None,
    ) -> None:
        self.executors = executors
        self.store = store
        self.until_empty = until_empty
        self.quiet = quiet
        self.has_log = has_log
        self.recycling = recycling or Recycling()
        self.on_state = on_state
        self.statistics = WorkerStatistics(self._say_failure, self._quickly)
        for executor in executors:
            executor.observe(self.statistics, light=True)
        self.screen = self._screen()
        self.stopping = asyncio.Event()  # set to start nothing more
        self.broken = asyncio.Event()  # something outside the events went wrong
        self.interrupted = 0  # events that still ran when the time to finish was over

    def _screen(self) -> Screen:
        if self.has_log:
            return LogScreen(self.quiet)
        if self.quiet or not sys.stderr.isatty():
            return PlainScreen(self.quiet)
        try:
            from .output.live_screen import LiveScreen  # late: rich is an extra, and slow to import
        except ImportError:
            return PlainScreen()
        title = ", ".join(executor.store.queue for executor in self.executors)
        return LiveScreen(self.statistics, title, asyncio.Event(), "waiting for more")

    def _quickly(self) -> int:
        """Return the number of completed events that no observer sees."""
        return sum(sum(executor.observers.quick.values()) for executor in self.executors)

    async def run(self, interrupts: Interrupts) -> int:
        """Work until asked to stop, or until nothing is left.

        Args:
            interrupts: The signals that stop it; entered.

        Returns:
            The exit status.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        with interrupts.listen():
            with self.screen:
                async with self.recycling.watch(self.executors), background(self.screen.show()):
                    await self._work(interrupts)
            seconds = loop.time() - began
            files, broken = {"store": self.store}, self.broken.is_set()
            self.screen.finish(
                summarize(self.statistics, seconds, bad=0, read_to=None, files=files, broken=broken)
            )
        if interrupts.halt.is_set() or (interrupts.status and self.interrupted):
            return interrupts.status
        if self.recycling.due.is_set() and not (interrupts.status or self.broken.is_set()):
            return RECYCLED
        failed = self.until_empty and (self.statistics.failed or self._unreadable())
        return 1 if failed or self.broken.is_set() else 0

    def _unreadable(self) -> int:
        """How many events were marked as failed because they could not be read."""
        return sum(each.store.event_types.failed_unreadable for each in self.executors)

    async def _work(self, interrupts: Interrupts) -> None:
        await self._say_what_waits()
        async with background(self._run_all()) as ended:
            self.on_state("working")
            recycled = self.recycling.due
            async with background(self._until_empty()) as empty:
                await first_of(ended, empty, recycled, interrupts.stop, self.broken)
            self.on_state("draining")
            self.stopping.set()
            for executor in self.executors:
                await executor.stop()
            if recycled.is_set():
                self.screen.note(f"{self.recycling.reason}: no more are started")
            running, before = len(self.statistics.running), self.statistics.interrupted
            if interrupts.stop.is_set() and (running or not self.quiet):
                self.screen.note(
                    f"stopping: {running:,} running may finish within {interrupts.grace:g} s; "
                    f"{interrupts.again} ends at once"
                )
            await interrupts.let_finish(ended, self.broken)
        self.interrupted = self.statistics.interrupted - before
        if self.interrupted:
            self.screen.note(interrupts.sum_up(self.interrupted, is_stored=True))

    # -- the work ----------------------------------------------------------------------------

    async def _run_all(self) -> None:
        """Run events until stopped; cancelled, it sends what runs back to pending."""
        await asyncio.gather(*map(self._run, self.executors))

    async def _run(self, executor: Executor) -> None:
        """Run the events of one queue, and go on when its store has failed."""
        processor, loop = executor.processor, asyncio.get_running_loop()
        assert processor is not None
        pause = FIRST
        while True:
            began = loop.time()
            try:
                await processor.execute()
            except (KeyboardInterrupt, SystemExit) as error:
                self._break(f"an event raised {type(error).__name__}: no further event was started")
            except StoreError as error:
                if error.retryable and not self.stopping.is_set():
                    pause = FIRST if loop.time() - began > LONGEST else pause
                    self._say_always(f"lionpride: {error}; trying again in {duration(pause)}")
                    await self._rest(pause)
                    pause = min(2 * pause, LONGEST)
                    if not self.stopping.is_set():
                        await processor.start()  # a failure has stopped it
                        continue
                    return
                self._break(f"{error}; no further event was started")
            except Exception as error:  # the user's lifespan may raise anything
                self._break(f"the worker failed: {trouble(error)}; no further event was started")
            return

    async def _rest(self, seconds: float) -> None:
        """Wait so long, or until nothing more is to be started."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return

    async def _until_empty(self) -> None:
        """Return when nothing is left in any queue; never, unless that is asked for."""
        if not self.until_empty:
            await self.stopping.wait()
            return
        while not self.stopping.is_set():
            try:
                for executor in self.executors:
                    await executor.join()
                if not await self._left():  # what one has run may have appended to another
                    return
            except StoreError:
                await self._rest(FIRST)
            except OperationError as error:
                if all(each.processor and each.processor.working for each in self.executors):
                    self._break(str(error))
                    return
                await self._rest(SOON)

    async def _left(self) -> int:
        """Return the number of pending and running events, also of other processes."""
        left = 0
        for executor in self.executors:
            counts = await executor.store.counts()
            left += counts[EventStatus.PENDING] + counts[EventStatus.PROCESSING]
        return left

    # -- messages ------------------------------------------------------------------------

    async def _say_what_waits(self) -> None:
        if self.quiet:
            return
        parts = []
        for executor in self.executors:
            store = executor.store
            try:
                waiting = (await store.counts())[EventStatus.PENDING]
                paused = ", paused by hand" if await is_paused(store) else ""
            except StoreError:  # the run waits for the store, or reports the error
                return
            parts.append(f"{store.queue} ({waiting:,} pending{paused})")
        self.screen.note(
            f"working on {', '.join(parts)} of {self.store}; Ctrl-C stops: what runs may finish"
        )

    def _say_always(self, text: str) -> None:
        self.screen.note(text)

    def _say_failure(self, text: str) -> None:
        if not self.has_log:
            self.screen.note(text)

    def _break(self, message: str) -> None:
        self.broken.set()
        self.screen.note(f"lionpride: {message}")
