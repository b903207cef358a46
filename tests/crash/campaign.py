"""A campaign: workers on one store, killed again and again, and what the audit says at the end."""

import asyncio
import contextlib
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from crash.audit import Findings, audit
from crash.bases import Base
from crash.deeds import QUEUE, Deed, Doer
from crash.dependents import draw_after, draw_kinds
from crash.facts import LEASE
from crash.journal import Journal, read
from crash.on_postgres import OnPostgres
from crash.points import CHECKED, NOTED
from crash.removal import WAYS, lose_file
from crash.workers import Nursery, Worker
from stores.postgres.wire import Wire

from lionpride.model.execution import EventStatus

RANDOM = "at random"
"""Killed by the parent, whatever it was at."""

STOPS = ("stopped after a claim", "stopped before a start", "stopped at random")
"""Killed by the parent after it was stopped, mostly for longer than its lease."""

ALONE = ("stopped alone", "held alone")
"""Killed by the parent after it was stopped, or held the interpreter, as the only worker."""

INTERRUPTED = "interrupted"
"""Ended by SIGINT; killed by the parent if it does not end."""

EXHAUSTED = "without descriptors"
"""Killed by the parent after it got no file descriptors for a while."""

SHORT = 1.5
"""Seconds: the lease of workers that are stopped."""

RENEWED = 2.0
"""Seconds: the lease of workers that get no file descriptors, and have to renew it all the same."""

RARE = ("takeover", "reap", "renewal", "resolve", "continue")
"""Beginnings of points that a worker passes seldom: it dies the first time."""

PATIENCE = 2.0
"""Seconds that a worker has to reach its point; then the parent kills it as it is."""

ENDING = 20.0
"""Seconds in which a worker ends after SIGINT, and after the last one if it did not."""

LIMIT = 240.0
"""Seconds after which a campaign that does not end has failed."""


STUCK = 120.0
"""Seconds that healthy workers have to do the rest of the work. A busy machine needs over 40."""

CUTTING = 3.0
"""Seconds for which connections are cut that healthy workers have."""

DELAY = 90.0
"""Seconds of a delay that only a jump of the wall clock can end in time."""

LONG = 0.5
"""Seconds that some deeds take while the wall clock jumps."""

LATEST = 100_000.0
"""Seconds that the wall clock is ahead in the end: more than at any time before."""

COUNTED = {
    "cancel": "cancels",
    "stop": "stops",
    "clock": "jumps of the clock",
    "read": "foreign readers",
    "exhausted": "times without descriptors",
    "old": "workers of the release before",
    "hold": "times with the interpreter held",
    "interrupt": "interrupts",
    "fork": "forked children",
    "orphan": "orphaned children",
    "refused": "children that were refused",
    "disconnect": "connections cut",
    "crash": "crashes of the server",
}
"""Lines of the journal that the table counts."""

REMOVED = "files removed or changed"


@dataclass
class Result:
    """What a campaign came to; ``deeds`` counts what befell it beside the kills."""

    seed: int
    findings: Findings
    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    deeds: Counter[str] = field(default_factory=Counter)


class Campaign:
    """One store, its workers and their deaths.

    Args:
        nursery: Where the workers come from.
        base: Where they meet.
        folder: Where the journal is put.
        seed: For everything that is drawn.
        kills: How many workers are killed.
        points: Where; by default everywhere, and at random times.
        crowd: How many workers there are at a time.
        chosen: The names of the faults that befall it.
        mutant: What is spoilt in all of them.
    """

    def __init__(
        self,
        nursery: Nursery,
        base: Base,
        folder: Path,
        seed: int,
        *,
        kills: int,
        points: tuple[str, ...] | None = None,
        crowd: int = 3,
        chosen: Collection[str] = (),
        mutant: str | None = None,
    ) -> None:
        self.base = base
        self.journal = folder / f"{seed}.journal"
        self.result = Result(seed, Findings())
        self._nursery = nursery
        self._rng = Random(seed)
        self._wanted = kills
        self._chosen = chosen
        points = points or (*base.points, RANDOM, RANDOM, RANDOM)
        self._points = (*points, *self._more_points())
        self._crowd = 1 if "alone" in chosen else crowd
        self._forks = Random(f"{seed} forks")
        self._mutant = mutant
        self._bag: list[str] = []
        self._written = Journal(self.journal)
        self._workers: set[Worker] = set()
        self._keeper: Worker | None = None
        self._phase = ""
        self._wire: Wire | None = None
        self._stuck: list[str] = []

    async def run(self) -> Result:
        """Kill so many, let the rest of the work be done, and look at what is left."""
        if isinstance(self.base, OnPostgres):
            self.base.befall(self._chosen, self.result.seed)
        try:
            async with asyncio.timeout(LIMIT):
                self._phase = "create the store"
                await self._create()
                async with AsyncExitStack() as stack:
                    executor, *_ = [await self._open(stack) for _ in range(self._executors)]
                    self.base.install()
                    if "cuts" in self._chosen:
                        assert isinstance(self.base, OnPostgres)
                        self._wire = await stack.enter_async_context(self.base.cuttable())
                        executor = await self._open(stack)
                    self._phase = "kill workers"
                    await self._kill(executor)
                    self._phase = "do the rest of the work"
                    await self._finish(executor)
        except TimeoutError:
            self.result.findings.wrong.append(
                f"it did not end within {LIMIT:g} s, but was at this: {self._phase}"
            )
        for worker in self._workers:
            await worker.end(signal.SIGKILL)
        self._nursery.set_clock(0.0)
        self._written.close()
        if not self.result.findings.wrong:
            self.result.findings = audit(self.base.facts(), self.journal)
        self.result.findings.stuck = self._stuck
        if isinstance(self.base, OnPostgres):
            self.base.relieve()
        if "removal" in self._chosen:
            await self._remove_file()
        self._count_deeds()
        return self.result

    async def _remove_file(self) -> None:
        """Change another file under its workers, in a way that the seed chooses."""
        way = sorted(WAYS)[self.result.seed % len(WAYS)]
        lost = await lose_file(self._nursery, self.journal.parent, f"{self.result.seed}-{way}", way)
        self.result.findings.lost += lost.lost
        self.result.findings.wrong += lost.wrong
        self.result.deeds[REMOVED] += 1

    def _count_deeds(self) -> None:
        counted = Counter(line.what for line in read(self.journal))
        for what, name in COUNTED.items():
            self.result.deeds[name] += counted[what]

    @property
    def _executors(self) -> int:
        return 2 if "executors" in self._chosen else 1

    async def _open(self, stack: AsyncExitStack) -> Doer:
        """Open the store in this process; it closes with the stack."""
        executor = Doer(store=self.base.url(), queue=QUEUE)
        stack.push_async_callback(executor.store.close)
        await executor.store.counts()
        return executor

    def _more_points(self) -> tuple[str, ...]:
        stops = STOPS if "stops" in self._chosen else ()
        exhausted = (EXHAUSTED,) if "descriptors" in self._chosen else ()
        alone = ALONE if "alone" in self._chosen else ()
        interrupted = (INTERRUPTED,) if "signals" in self._chosen else ()
        return stops * 2 + exhausted * 2 + alone * 2 + interrupted * 6

    # -- workers -----------------------------------------------------------------------------

    async def _start(self, point: str | None = None, **orders: Any) -> Worker:
        rng = self._rng
        appends = 5 if point is not None and point.startswith("append") else 0
        lease = orders.get("lease", 1.5 if point == "renewal" else LEASE)
        self.result.starts += 1
        drawn = {
            "url": self.base.url(lease),
            "lease": lease,
            "executors": self._executors,
            "journal": str(self.journal),
            "point": point,
            "nth": 1 if (point or "").startswith(RARE) else rng.randint(1, 5),
            "concurrency": rng.choice((1, 3, 16)),
            "batches": [rng.randint(1, 12) for _ in range(rng.randint(0, 4))] + [6] * appends,
            "pause": rng.choice((0.0, 0.0, 0.01)),
            # An observer costs the engine its shortcuts: they are to be killed too.
            "observe": point == "settle: told" or rng.random() < 0.5,
            "mutant": self._mutant,
        }
        if "forks" in self._chosen:
            drawn["forks"] = self._forks.choice((0, 1, 3))
        worker = await self._nursery.start(**drawn | orders)
        self._workers.add(worker)
        return worker

    def _draw(self) -> str:
        """The next point: each once, in any order, and then each again."""
        if not self._bag:
            self._bag = self._rng.sample(self._points, len(self._points))
        return self._bag.pop()

    async def _doom(self, point: str, **orders: Any) -> None:
        """Start a worker that is to die at a point, and see to it that it does."""
        if "release" in self._chosen:
            orders["old"] = self.result.starts % 2 == 0
        if point in STOPS:
            worker, patience = await self._stop(point, **orders), self._rng.random() * 0.5
        elif point == EXHAUSTED:
            worker, patience = await self._exhaust(**orders), 2.5 * RENEWED
        elif point in ALONE:
            worker, patience = await self._stop_alone(point, **orders), 2.0
        elif point == INTERRUPTED:
            worker, patience = await self._interrupt(**orders), ENDING
        elif point == RANDOM:
            worker, patience = await self._start(**orders), self._rng.random() * 0.3
        else:
            worker, patience = await self._start(point, **orders), PATIENCE
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(worker.ended), patience)
        if worker.alive and point == INTERRUPTED:
            # KeyboardInterrupt between two callbacks of asyncio can make it lose the wake-up of a
            # task. A person presses Ctrl-C once more.
            worker.send(signal.SIGINT)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(worker.ended), patience)
        if worker.alive:
            if point == INTERRUPTED:
                self.result.findings.wrong.append(f"{worker.pid} did not end after SIGINT")
            point = point if point in (*STOPS, *ALONE, EXHAUSTED, INTERRUPTED) else RANDOM
            self._written.write_for(worker.pid, "kill")
        code = await worker.end(signal.SIGKILL)
        self._workers.discard(worker)
        if code == -signal.SIGKILL or point == INTERRUPTED:
            self.result.kills[point] += 1
        else:
            self.result.findings.wrong.append(f"a worker that was to die ended with {code}")

    async def _stop(self, point: str, **orders: Any) -> Worker:
        """Start a worker, and stop it, mostly for longer than its lease."""
        rng = self._rng
        if point != STOPS[-1]:
            where = NOTED if point == STOPS[0] else CHECKED
            worker = await self._start(where, stop=True, lease=SHORT, **orders)
            patience = PATIENCE
        else:
            worker, patience = await self._start(lease=SHORT, **orders), rng.random() * 0.3
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(worker.stopped.wait(), patience)
        if not worker.stopped.is_set():
            self._written.write_for(worker.pid, "stop")
            worker.send(signal.SIGSTOP)
            await worker.stopped.wait()
        await asyncio.sleep(rng.choice((0.3, 2.0, 2.0, 2.5)) * SHORT)
        self._go_on(worker)
        return worker

    def _go_on(self, worker: Worker) -> None:
        self._written.write_for(worker.pid, "continue")
        worker.send(signal.SIGCONT)

    async def _stop_alone(self, point: str, **orders: Any) -> Worker:
        """Start the only worker, and stop it for two leases while it runs long deeds."""
        long = {"lease": SHORT, "concurrency": 16, "batches": [6], "pause": 2.0 * SHORT}
        long["hold"] = 2.0 * SHORT if point == ALONE[1] else 0.0
        worker = await self._start(urgent=True, **long | orders)
        with contextlib.suppress(TimeoutError):
            await until(lambda: self._has_started(worker), PATIENCE)
        if point == ALONE[0] and worker.alive:
            self._written.write_for(worker.pid, "stop")
            worker.send(signal.SIGSTOP)
            await asyncio.sleep(2.0 * SHORT)
            self._go_on(worker)
        return worker

    def _has_started(self, worker: Worker) -> bool:
        """Return True if a worker runs something."""
        lines = read(self.journal)
        return any(line.what == "start" and line.pid == worker.pid for line in lines)

    async def _interrupt(self, **orders: Any) -> Worker:
        """Start a worker, and send it SIGINT several times, at any point of its commits."""
        rng = self._rng
        worker = await self._start(**orders)
        await asyncio.sleep(rng.uniform(0.05, 0.4))
        self._written.write_for(worker.pid, "interrupt")
        self._written.write_for(worker.pid, "kill")  # it ends at some time after this
        for _ in range(rng.randint(1, 3)):
            worker.send(signal.SIGINT)
            await asyncio.sleep(rng.choice((0.0, 0.001, 0.01)))
        return worker

    async def _exhaust(self, **orders: Any) -> Worker:
        """Start a worker that gets no file descriptors at first, and has long deeds."""
        long = {"lease": RENEWED, "concurrency": 16, "batches": [6], "pause": 2.0 * RENEWED}
        return await self._start(exhausted=True, urgent=True, **long | orders)

    # -- phases ------------------------------------------------------------------------------

    async def _create(self) -> None:
        """Have several workers make the store at once, and die of it."""
        if "creation" in self._points:
            those = [
                self._doom("creation", nth=self._rng.randint(1, 30), batches=[])
                for _ in range(min(2, self._wanted))
            ]
            await asyncio.gather(*those)

    async def _kill(self, executor: Doer) -> None:
        """Keep the crowd complete until so many have died, while events come in."""
        if "alone" in self._chosen:
            self._written.write("alone")
        elif "stops" in self._chosen:  # it takes over what a stopped worker has
            self._keeper = await self._start(batches=[], lease=SHORT)
        beside = [asyncio.create_task(each) for each in self._beside(executor)]
        dying: set[asyncio.Task[None]] = set()
        begun = sum(self.result.kills.values())
        try:
            while begun < self._wanted or dying:
                while begun < self._wanted and len(dying) < self._crowd:
                    dying.add(asyncio.create_task(self._doom(self._draw())))
                    begun += 1
                done, dying = await asyncio.wait(dying, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    await task
        finally:
            for task in (*beside, *dying):
                task.cancel()
            await asyncio.wait(beside)
        for task in beside:
            if not task.cancelled():
                await task

    def _beside(self, executor: Doer) -> list[Coroutine[Any, Any, None]]:
        """What goes on while workers die."""
        does = [self._append(executor)]
        if "cancels" in self._chosen:
            does.append(self._cancel(executor))
        if "clock" in self._chosen:
            does.append(self._jump())
        if self._wire is not None:
            does.append(self._cut(self._wire))
        if "crashes" in self._chosen and isinstance(self.base, OnPostgres):
            does.append(self._crash(self.base))
        if "executors" in self._chosen and self.base.path is not None:
            does.append(self._read(self.base.path))
        return does

    async def _append(self, executor: Doer) -> None:
        """Append now and then, never too far ahead of the workers."""
        rng, label, known = self._rng, 0, list[UUID]()
        while True:
            counts = await executor.store.counts()
            if counts[EventStatus.PENDING] < 60:
                label += 1
                size, pause = rng.randint(1, 40), rng.choice((0.0, 0.002, 0.02))
                note = rng.choice(("", "new")) if "release" in self._chosen else ""
                if "clock" in self._chosen and label % 3 == 0:
                    size, pause = 3, LONG
                deeds = [
                    Deed(label=label, pause=pause, slips=n % 3, note=note, **draw_kinds(rng))
                    for n in range(size)
                ]
                after, when = draw_after(rng, deeds, known)
                for deed in await executor.append_many(deeds, after=after, when=when):
                    self._written.write("appended", deed.id)
                    known.append(deed.id)
            await asyncio.sleep(0.02)

    async def _cancel(self, executor: Doer) -> None:
        """Cancel an event now and then: mostly one that runs, and at times one that waits."""
        rng = self._rng
        while True:
            status = rng.choice((EventStatus.PROCESSING,) * 3 + (EventStatus.PENDING,))
            found = await executor.store.list_records(status, limit=20)
            if found:
                one = rng.choice(found).id
                self._written.write("ask", one)
                if await executor.cancel(one):
                    self._written.write("cancel", one)
            await asyncio.sleep(rng.choice((0.0, 0.02, 0.1)))

    async def _cut(self, wire: Wire) -> None:
        """Cut some of the connections now and then."""
        rng = self._rng
        while True:
            for _ in range(wire.cut_some(lambda: rng.random() < 0.3)):
                self._written.write("disconnect")
            await asyncio.sleep(rng.uniform(0.05, 0.3))

    async def _crash(self, base: OnPostgres) -> None:
        """Have the server crash now and then; it is up again when this ends."""
        rng = Random(f"{self.result.seed} crashes")
        while True:
            await asyncio.sleep(rng.uniform(0.2, 1.5))
            self._written.write("crash")
            crash = asyncio.ensure_future(base.crash(rng.choice((0.0, 0.5))))
            try:
                await asyncio.shield(crash)
            except asyncio.CancelledError:
                await crash
                raise

    async def _cut_healthy(self, wire: Wire, executor: Doer) -> None:
        """Cut connections while there are healthy workers alone, whose leases do not lapse."""
        beside = asyncio.gather(self._cut(wire), self._append(executor))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(beside, CUTTING)

    async def _jump(self) -> None:
        """Set the workers' wall clock now and then."""
        while True:
            self._set_clock(self._rng.choice((0.0, 7.0, -7.0, 600.0, -600.0, 86_400.0)))
            await asyncio.sleep(self._rng.uniform(0.1, 0.6))

    def _set_clock(self, shift: float) -> None:
        self._written.write("clock", extra=f"{shift:g}")
        self._nursery.set_clock(shift)

    async def _wait_for_jumps(self, executor: Doer) -> None:
        """Have the clock jump beyond all that is scheduled; idle workers have to notice."""
        self._phase = "do what is due after the clock was set"
        self._set_clock(LATEST)
        if self.base.path is not None:  # a server has a clock of its own
            await until(lambda: is_idle(executor))
            due = time.time() + LATEST + DELAY
            for label in range(3):
                deed = await executor.append(Deed(label=label), at=due)
                self._written.write("appended", deed.id)
            await asyncio.sleep(0.2)
            self._phase = "notice, while idle, that the clock was set"
            self._set_clock(LATEST + 2.0 * DELAY)

    async def _read(self, path: Path) -> None:
        """Have a foreign program read the file and close it, now and then."""
        while True:
            self._written.write("read")
            if code := await self._nursery.read(path):
                self.result.findings.wrong.append(
                    f"a program that reads the file ended with {code}"
                )
            await asyncio.sleep(self._rng.uniform(0.0, 0.2))

    async def _finish(self, executor: Doer) -> None:
        """Let healthy workers do what is left, and go home."""
        healthy = [await self._start(batches=[]) for _ in range(2)]
        healthy += [self._keeper] if self._keeper is not None else []
        pids = {worker.pid for worker in healthy}
        await until(lambda: pids <= {line.pid for line in read(self.journal) if line.what == "up"})
        if "clock" in self._chosen:
            await self._wait_for_jumps(executor)
        if self._wire is not None:
            await self._cut_healthy(self._wire, executor)
        try:
            await until(lambda: is_idle(executor), STUCK)
        except TimeoutError:
            for status in (EventStatus.PENDING, EventStatus.PROCESSING):
                left = await executor.store.list_records(status, limit=10)
                self._stuck += [f"event {each.id} is {status.value}" for each in left]
        for worker in healthy:
            code = await worker.end()
            self._workers.discard(worker)
            if code:
                self.result.findings.wrong.append(f"a worker that was sent home ended with {code}")


async def is_idle(executor: Doer) -> bool:
    counts = await executor.store.counts()
    return not counts[EventStatus.PENDING] and not counts[EventStatus.PROCESSING]


async def until(happens: Callable[[], Awaitable[bool] | bool], limit: float = LIMIT) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(limit):
        while True:
            answer = happens()
            if answer is True or (answer is not False and await answer):
                return
            await asyncio.sleep(0.01)


def folder() -> tempfile.TemporaryDirectory[str]:
    """A place for files of a campaign."""
    return tempfile.TemporaryDirectory(prefix="lionpride-crash-")
