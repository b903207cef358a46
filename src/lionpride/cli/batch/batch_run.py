"""One run from its first line to its summary: feed, watch, stop when asked, and sum up."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ...core import EventStatus, Executor
from ...drawing.text import trouble
from ...drawing.timeline import draw
from ...errors import OperationError, StoreError
from ...stores.contract import is_paused
from ..interrupts import Interrupts
from ..output.screen import PlainScreen, Screen
from ..output.statistics import Statistics, StoreStatistics
from ..output.summary import summarize
from ..store.location import StoreLocation
from ..targets.target import Target
from ..tasks import background, first_of
from ..usage import UsageError
from .intake import Intake
from .lines import BadLine, LineReader, line_ids
from .outputs import Output
from .results import Results
from .resume import Fresh, Resumption
from .source import Source, empty
from .timeline import Recorder

__all__ = ["BatchRun", "Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a run, checked, with its files open."""

    target: Target
    source: Source
    output: Output | None
    picture: Output | None
    timeout: float | None
    quiet: bool
    location: StoreLocation | None = None  # where events are kept; None: in memory
    fresh: Fresh = Fresh.NEVER
    defaults: Mapping[str, Any] = field(default_factory=dict)  # for fields that lines do not have


class BatchRun:
    """Runs a plan on an executor that was started, once.

    A file is read to its end before the first event starts, so that priorities order all of it;
    a pipe is run as it comes.
    """

    def __init__(self, plan: Plan, executor: Executor) -> None:
        self.plan = plan
        self.executor = executor
        self.lines: dict[UUID, int] = {}
        self.stored = None if plan.location is None else StoreStatistics(self.lines)
        self.statistics = self.stored or Statistics(self.lines)
        self.recorder: Recorder | None = None
        self.results: Results | None = None
        self._observe()
        self.resumption = self._resumption()
        self.intake = self._intake()
        self.screen = self._screen()
        self.broken = asyncio.Event()  # something outside the events went wrong: run no more
        self.worked_off = False  # every line has been read, and nothing is left in the queue

    def _observe(self) -> None:
        """Be told of each step of each event."""
        self.executor.observe(self.statistics)
        if self.plan.picture is not None:
            began = None if self.stored is None else asyncio.get_running_loop().time()
            self.recorder = Recorder(self.lines, began)
            self.executor.observe(self.recorder)
        if self.plan.output is not None:
            self.results = Results(self.plan.output, self.lines, self._cannot_write)
            self.executor.observe(self.results)

    def _resumption(self) -> Resumption | None:
        """Return the state of an earlier run, if the events are in a durable store."""
        plan = self.plan
        if plan.location is None or self.stored is None:
            return None
        return Resumption(
            plan.location,
            self.executor.store,
            self.stored,
            self.lines,
            self.results,
            plan.fresh,
            self._say,
        )

    def _intake(self) -> Intake:
        durable = self.resumption is not None
        name = line_ids(self.executor.store.queue) if durable else None
        plan = self.plan
        reader = LineReader(plan.target.event_type, plan.timeout, name, plan.defaults)
        room, known = self.statistics.room, self.resumption
        return Intake(self.executor, reader, self.lines, self._complain, room, known)

    def _screen(self) -> Screen:
        """The live display on a terminal, if rich is there; else plain lines."""
        if self.plan.quiet or not sys.stderr.isatty():
            return PlainScreen(self.plan.quiet)
        try:
            from ..output.live_screen import LiveScreen  # late: rich is slow to import, an extra
        except ImportError:
            plain = PlainScreen()
            plain.note(
                "rich is not installed, so there is no live display: pip install "
                '"lionpride-core[cli]"'
            )
            return plain
        return LiveScreen(self.statistics, self.plan.target.name, self.intake.ended)

    # ------------------------------------------------------------------- from first to last

    async def run(self, interrupts: Interrupts) -> int:
        """Run all of it.

        Args:
            interrupts: The signals that stop it; entered.

        Returns:
            The exit status.

        Raises:
            UsageError: if there was not one line to run.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        with interrupts.listen():
            with self.screen:
                async with background(self.screen.show()), background(self._feed()):
                    await self._work(interrupts)
            seconds = loop.time() - began
            if not self.intake.last and not interrupts.status and not self.broken.is_set():
                raise UsageError(empty(self.plan.source.name))
            self._finish(seconds)
        return interrupts.status or self._status()

    async def _feed(self) -> None:
        try:
            await self.intake.feed(self.plan.source)
        except StoreError as error:
            self._break(str(error))
        except OSError as error:
            name, last = self.plan.source.name, self.intake.last
            self._break(f"{name} cannot be read on after line {last}: {error.strerror or error}")

    async def _work(self, interrupts: Interrupts) -> None:
        """Wait for what there is to run, run it, and stop when asked."""
        intake, stops = self.intake, (interrupts.stop, self.broken)
        enough = intake.full if self.plan.source.whole else intake.begun
        await first_of(enough, intake.ended, *stops)
        if any(stop.is_set() for stop in stops):
            return
        if intake.last and self.results is not None:
            self.results.start_over()
        if self.resumption is not None:
            if self.plan.source.whole:
                self.resumption.announce()
            await self.resumption.begin()
        if intake.begun.is_set():
            await self._execute(interrupts)
        if self.resumption is not None and self.worked_off:
            await self.resumption.complete()

    async def _execute(self, interrupts: Interrupts) -> None:
        """Run all events, to the end of the input or until a signal."""
        store = self.executor.store
        if await is_paused(store):
            self._say(
                f"queue {store.queue} is paused by hand: nothing starts until it is resumed, on "
                'its page, in `lionpride top`, or with executor.resume(scope="queue")'
            )
        async with background(self._process()) as ended:
            async with background(self._settle_all()) as settled:
                await first_of(settled, ended, interrupts.stop, self.broken)
            await self.executor.stop()
            before = self.statistics.interrupted
            if interrupts.stop.is_set():
                self._say_stopping(interrupts)
            await interrupts.let_finish(ended, self.broken)
        if interrupted := self.statistics.interrupted - before:
            is_stored = self.plan.location is not None
            self.screen.note(interrupts.sum_up(interrupted, is_stored=is_stored))

    async def _process(self) -> None:
        """Run events until stopped; cancelled, it sends what runs back to pending."""
        processor = self.executor.processor
        assert processor is not None
        try:
            await processor.execute()
        except (KeyboardInterrupt, SystemExit) as error:
            self._break(f"an event raised {type(error).__name__}: no further event was started")
        except StoreError as error:
            self._break(f"{error}; no further event was started")
        except Exception as error:  # the user's lifespan may raise anything
            self._break(f"the worker failed: {trouble(error)}; no further event was started")

    async def _settle_all(self) -> None:
        """Wait until every line has been read and every event has settled."""
        await self.intake.ended.wait()
        with suppress(OperationError):  # nothing runs any more: `_process` says why
            await self.executor.join()
            self.worked_off = True

    def _say_stopping(self, interrupts: Interrupts) -> None:
        running, left = len(self.statistics.running), self.statistics.counts[EventStatus.PENDING]
        self.screen.note(
            f"stopping: {running:,} running may finish within {interrupts.grace:g} s, {left:,} "
            f"will not start; {interrupts.again} ends at once"
        )

    # ---------------------------------------------------------------------- what is told

    def _say(self, text: str) -> None:
        if not self.plan.quiet:
            self.screen.note(text)

    def _complain(self, error: BadLine) -> None:
        self.screen.note(str(error))

    def _cannot_write(self, error: OSError) -> None:
        assert self.plan.output is not None
        name = self.plan.output.name
        self._break(f"results cannot be written to {name}: {error.strerror or error}")

    def _break(self, message: str) -> None:
        self.broken.set()
        self.screen.note(f"lionpride: {message}")

    def _finish(self, seconds: float) -> None:
        """Write what is still to be written, and sum up."""
        self._draw()
        read_to = None if self.intake.complete else self.intake.last
        outputs = {"results": self.plan.output, "timeline": self.plan.picture}
        files = {what: file.path for what, file in outputs.items() if file and file.path != "-"}
        if self.plan.location is not None:
            files["store"] = self.plan.location.name
        self.screen.finish(
            summarize(
                self.statistics,
                seconds,
                bad=self.intake.bad,
                twice=self.intake.twice,
                read_to=read_to,
                files=files,
                broken=self.broken.is_set(),
            )
        )

    def _draw(self) -> None:
        if self.recorder is None or self.plan.picture is None:
            return
        svg = draw(self.recorder.spans(), self.plan.target.name)
        try:
            self.plan.picture.start_over()
            self.plan.picture.write(svg.encode())
        except OSError as error:
            name = self.plan.picture.name
            self._break(f"the timeline cannot be written to {name}: {error.strerror or error}")

    def _status(self) -> int:
        """1 if anything did not end as it should, else 0."""
        left = self.statistics.total - self.statistics.settled
        failed = self.statistics.failed + self.statistics.by_hand + self.statistics.others_failed
        wrong = failed or self.intake.bad or left or self.broken.is_set()
        return 1 if wrong else 0
