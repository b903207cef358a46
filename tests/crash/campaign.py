"""A campaign: workers on one store, killed again and again, and what the audit says at the end."""

import asyncio
import contextlib
import signal
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from crash.audit import Findings, audit
from crash.bases import Base
from crash.deeds import QUEUE, Deed, Doer
from crash.journal import Journal, read
from crash.workers import Nursery, Worker

from lionpride.model.execution import EventStatus

RANDOM = "at random"
"""Killed by the parent, whatever it was at."""

RARE = ("takeover", "sweep", "renewal")
"""Beginnings of points that a worker passes seldom: it dies the first time."""

PATIENCE = 1.0
"""Seconds that a worker has to reach its point; then the parent kills it as it is."""

LIMIT = 60.0
"""Seconds after which a campaign that does not end has failed."""


@dataclass
class Result:
    """What a campaign came to."""

    seed: int
    findings: Findings
    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0


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
        mutant: str | None = None,
    ) -> None:
        self.base = base
        self.journal = folder / f"{seed}.journal"
        self.result = Result(seed, Findings())
        self._nursery = nursery
        self._rng = Random(seed)
        self._wanted = kills
        self._points = points or (*base.points, RANDOM, RANDOM, RANDOM)
        self._crowd = crowd
        self._mutant = mutant
        self._bag: list[str] = []
        self._written = Journal(self.journal)
        self._workers: set[Worker] = set()

    async def run(self) -> Result:
        """Kill so many, let the rest of the work be done, and look at what is left."""
        try:
            async with asyncio.timeout(LIMIT):
                await self._create()
                executor = Doer(store=self.base.url(), queue=QUEUE)
                await executor.store.counts()
                self.base.install()
                try:
                    await self._kill(executor)
                    await self._finish(executor)
                finally:
                    await executor.store.close()
        except TimeoutError:
            self.result.findings.wrong.append(f"it did not end within {LIMIT:g} s")
        for worker in self._workers:
            await worker.end(signal.SIGKILL)
        self._written.close()
        if not self.result.findings.wrong:
            self.result.findings = audit(self.base.facts(), self.journal)
        return self.result

    # -- workers -----------------------------------------------------------------------------

    async def _start(self, point: str | None = None, **orders: Any) -> Worker:
        rng = self._rng
        appends = 5 if point is not None and point.startswith("append") else 0
        self.result.starts += 1
        drawn = {
            "url": self.base.url(1.5 if point == "renewal" else None),
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
        if point == RANDOM:
            worker, patience = await self._start(**orders), self._rng.random() * 0.3
        else:
            worker, patience = await self._start(point, **orders), PATIENCE
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(worker.ended), patience)
        if worker.alive:
            point = RANDOM
            self._written.write_for(worker.pid, "kill")
        code = await worker.end(signal.SIGKILL)
        self._workers.discard(worker)
        if code == -signal.SIGKILL:
            self.result.kills[point] += 1
        else:
            self.result.findings.wrong.append(f"a worker that was to die ended with {code}")

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
        appending = asyncio.create_task(self._append(executor))
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
            appending.cancel()
            await asyncio.wait([appending])
            for task in dying:
                task.cancel()
        if not appending.cancelled():
            await appending

    async def _append(self, executor: Doer) -> None:
        """Append now and then, never too far ahead of the workers."""
        rng, label = self._rng, 0
        while True:
            counts = await executor.store.counts()
            if counts[EventStatus.PENDING] < 60:
                label += 1
                size, pause = rng.randint(1, 40), rng.choice((0.0, 0.002, 0.02))
                deeds = [Deed(label=label, pause=pause, slips=n % 3) for n in range(size)]
                for deed in await executor.append_many(deeds):
                    self._written.write("appended", deed.id)
            await asyncio.sleep(0.02)

    async def _finish(self, executor: Doer) -> None:
        """Let healthy workers do what is left, and go home."""
        healthy = [await self._start(batches=[]) for _ in range(2)]
        pids = {worker.pid for worker in healthy}
        await until(lambda: pids <= {line.pid for line in read(self.journal) if line.what == "up"})
        await until(lambda: is_idle(executor))
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
