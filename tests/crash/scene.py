"""A scene: a few workers on one store, told one by one what befalls them."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from crash.audit import Findings, audit
from crash.bases import Base
from crash.campaign import is_idle, until
from crash.deeds import QUEUE, Deed, Doer
from crash.facts import LEASE
from crash.journal import Journal, Line, read
from crash.points import CHECKED, NOTED
from crash.workers import Nursery, Worker

from lionpride.model.after import When


class Scene:
    """A store, its journal, and an executor of the parent's that only appends."""

    def __init__(
        self,
        nursery: Nursery,
        base: Base,
        journal: Path,
        lease: float | None,
        mutant: str | None,
    ) -> None:
        self.base = base
        self._journal = journal
        self._lease = LEASE if lease is None else lease
        self._url = base.url(self._lease)
        self._nursery = nursery
        self._mutant = mutant
        self._written = Journal(self._journal)
        self._workers: list[Worker] = []
        self.executor = Doer(store=base.url(), queue=QUEUE)

    async def append(
        self,
        *deeds: Deed,
        priorities: list[float] | None = None,
        after: dict[UUID, list[UUID]] | None = None,
        when: When | None = None,
    ) -> None:
        for deed in await self.executor.append_many(deeds, priorities, after=after, when=when):
            self._written.write("appended", deed.id)

    async def cancel(self, uid: str) -> None:
        self._written.write("ask", uid)
        assert await self.executor.cancel(uid) is True
        self._written.write("cancel", uid)

    async def start(self, **orders: Any) -> Worker:
        orders = {"concurrency": 1, "mutant": self._mutant, "lease": self._lease} | orders
        worker = await self._nursery.start(url=self._url, journal=str(self._journal), **orders)
        self._workers.append(worker)
        return worker

    def set_clock(self, shift: float) -> None:
        """Set the wall clock of the workers so many seconds before the machine's."""
        self._written.write("clock", extra=f"{shift:g}")
        self._nursery.set_clock(shift)

    def stop(self, worker: Worker) -> None:
        self._written.write_for(worker.pid, "stop")
        worker.send(signal.SIGSTOP)

    def go_on(self, worker: Worker) -> None:
        """Let a worker go on that was stopped."""
        self._written.write_for(worker.pid, "continue")
        worker.send(signal.SIGCONT)

    async def kill(self, worker: Worker) -> None:
        self._written.write_for(worker.pid, "kill")
        assert await worker.end(signal.SIGKILL) == -signal.SIGKILL

    def lines(self, what: str) -> list[Line]:
        return [line for line in read(self._journal) if line.what == what]

    async def until(self, what: str, times: int, limit: float = 20.0) -> Line:
        """Wait for a line of the journal; the last of them."""
        await until(lambda: len(self.lines(what)) >= times, limit)
        return self.lines(what)[times - 1]

    async def end(self, limit: float = 20.0) -> Findings:
        """Have the rest of the work done, and all workers go home; what is left then."""
        late = []
        try:
            await until(lambda: is_idle(self.executor), limit)
        except TimeoutError:
            late = [f"there is work left after {limit:g} s"]
        alive = [worker for worker in self._workers if worker.alive]
        how = signal.SIGKILL if late else signal.SIGTERM
        codes = [await worker.end(how) for worker in alive]
        await self.executor.store.close()
        found = audit(self.base.facts(), self._journal)
        found.wrong += late + [f"a worker that was sent home ended with {n}" for n in codes if n]
        return found

    async def over(self) -> None:
        """Leave nothing behind."""
        for worker in self._workers:
            await worker.end(signal.SIGKILL)
        self._nursery.set_clock(0.0)
        self._written.close()
        await self.executor.store.close()


@asynccontextmanager
async def scene(
    nursery: Nursery,
    base: Base,
    folder: Path,
    lease: float | None = None,
    mutant: str | None = None,
) -> AsyncIterator[Scene]:
    """A scene on a store of its own, and its end."""
    made = Scene(nursery, base, folder / "journal", lease, mutant)
    try:
        await made.executor.store.counts()
        base.install()
        yield made
    finally:
        await made.over()


async def stopped_past_its_lease(made: Scene) -> None:
    """A worker is stopped in an attempt for longer than its lease; it is refused, and goes on."""
    await made.append(Deed(pause=0.4))
    late = await made.start()
    first = await made.until("start", 1)
    assert first.pid == late.pid
    made.stop(late)
    await made.start()
    await made.until("start", 2)
    made.go_on(late)  # it comes to its end while the other has the lease
    await made.until("finish", 2)
    found = await made.end()
    assert not found.troubles(), found.troubles()
    assert (found.attempts, found.interrupted) == (2, 1)
    assert [line.attempt for line in made.lines("finish")] == [1, 2], "both got to their end"
    assert [line.attempt for line in made.lines("settled")] == [2], "one was put on record"


async def stopped_alone(made: Scene, hold: float = 0.0) -> None:
    """The only worker is stopped, or holds the interpreter, for two leases while it runs deeds."""
    long = [Deed(pause=3.0) for _ in range(5)]
    await made.append(*long)
    only = await made.start(concurrency=16)
    await made.until("start", len(long))
    if hold:
        await made.append(Deed(hold=hold))
        await made.until("hold", 1)
    else:
        made.stop(only)
        await asyncio.sleep(2.0)
        made.go_on(only)
    for _ in range(20):  # which it has to claim
        await made.append(Deed(pause=0.01))
        await asyncio.sleep(0.05)
    found = await made.end()
    assert not found.troubles(), found.troubles()
    assert found.interrupted == 0
    starts = [line.event for line in made.lines("start")]
    assert len(starts) == len(set(starts)), "each event has started once"


async def blocked_past_its_lease(made: Scene) -> None:
    """A worker's loop is blocked for longer than its lease, while another is idle: it keeps it."""
    await made.append(Deed(block=2.2))
    await made.start()
    await made.until("start", 1)
    await made.start()
    await until(lambda: bool(made.lines("finish")) or len(made.lines("start")) > 1, 20.0)
    found = await made.end(limit=1.0)
    assert not found.troubles(), found.troubles()
    assert (found.attempts, found.interrupted) == (1, 0)


async def clock_jumps_past_a_lease(made: Scene) -> None:
    """The wall clock jumps past the lease of a running attempt, while another worker is idle."""
    await made.append(Deed(pause=2.5))
    await made.start()
    await made.until("start", 1)
    await made.start()
    await made.until("up", 2)
    made.set_clock(600.0)
    await until(lambda: bool(made.lines("finish")), 20.0)
    found = await made.end()
    assert not found.troubles(), found.troubles()
    assert (found.attempts, found.interrupted) == (1, 0)


async def stopped_between_claim_and_start(made: Scene, observe: bool = True) -> None:
    """A worker is stopped after a claim, until another one has finished the event."""
    await made.append(Deed())
    late = await made.start(point=NOTED, stop=True, observe=observe)
    await late.stopped.wait()
    await made.start()
    await made.until("finish", 1)
    await until(lambda: is_idle(made.executor))
    made.go_on(late)
    await made.append(Deed())  # when it has claimed another one, it is through with the first
    await made.start()
    found = await made.end()
    assert not found.troubles(), found.troubles()
    assert [line.attempt for line in made.lines("start")] == [2, 1]


async def stopped_between_check_and_start(made: Scene) -> None:
    """A worker is stopped after the check of a claim: its code runs late, and is not recorded."""
    await made.append(Deed())
    late = await made.start(point=CHECKED, stop=True)
    await late.stopped.wait()
    await made.start()
    await made.until("finish", 1)
    await until(lambda: is_idle(made.executor))
    made.go_on(late)
    await made.until("finish", 2)
    found = await made.end()
    assert not found.troubles(), found.troubles()
    assert found.gaps == 1
    assert [line.attempt for line in made.lines("start")] == [2, 1]
    assert [line.attempt for line in made.lines("settled")] == [2], "one was put on record"


async def cancelled_and_killed(made: Scene) -> None:
    """A worker is stopped in an attempt, a cancel of that is answered, and the worker is killed."""
    await made.append(Deed(pause=0.4))
    first = await made.start()
    started = await made.until("start", 1)
    made.stop(first)  # it cannot act on the cancel
    await made.cancel(started.event)
    await made.kill(first)
    await made.start()
    found = await made.end()
    assert not found.troubles(), found.troubles()
    assert (found.attempts, found.interrupted, found.cancelled) == (1, 1, 1)


async def cancelled_and_failed(made: Scene) -> None:
    """A cancel is answered while the worker is stopped; then the attempt fails into a retry."""
    await made.append(Deed(block=0.3, slips=3))
    first = await made.start()
    started = await made.until("start", 1)
    made.stop(first)
    await made.cancel(started.event)
    made.go_on(first)
    found = await made.end()
    assert not found.troubles(), found.troubles()
    assert (found.attempts, found.cancelled) == (1, 1)


async def without_descriptors(made: Scene) -> None:
    """A worker gets no file descriptor when its heartbeat starts, and runs for three leases."""
    await made.append(Deed(pause=3.0))
    await made.start(exhausted=True)
    await made.until("start", 1)
    await made.start()
    await until(lambda: bool(made.lines("finish")), 20.0)
    found = await made.end()
    assert not found.troubles(), found.troubles()
    assert (found.attempts, found.interrupted) == (1, 0)


async def older_release(made: Scene) -> None:
    """A worker of the release before meets an event with a newer field: a newer worker runs it."""
    await made.append(Deed(note="new"), Deed())
    await made.start(old=True)
    await made.until("finish", 1)  # it has passed over the first event
    await made.start()
    found = await made.end()
    assert not found.troubles(), found.troubles()
    assert len({line.pid for line in made.lines("finish")}) == 2, "one each"


async def children_wait_for_their_parents(made: Scene) -> None:
    """One child has parents of which one takes long; the parent of another one fails for good."""
    short, long, child = Deed(), Deed(pause=0.5), Deed()
    failing, other, last = Deed(fails=True), Deed(), Deed()
    after = {child.id: [short.id, long.id], other.id: [failing.id], last.id: [other.id]}
    await made.append(short, long, child, failing, other, last, after=after)
    await made.start(concurrency=4)
    found = await made.end(limit=5.0)
    assert not found.troubles(), found.troubles()
    assert (found.children, found.stopped) == (3, 2)


async def killed_while_children_are_released(made: Scene, point: str) -> None:
    """A worker is killed when it releases a child, and another one goes on."""
    parent, child = Deed(), Deed()
    await made.append(parent, child, after={child.id: [parent.id]})
    first = await made.start(point=f"resolve: {point}")
    await first.ended
    await made.start()
    found = await made.end(limit=5.0)
    assert not found.troubles(), found.troubles()
    assert made.lines("point"), "it was killed there"


async def killed_while_it_continues(made: Scene, point: str) -> None:
    """A worker is killed when it records the end of an event, and what continues it."""
    await made.append(Deed(follows=3))
    first = await made.start(point=f"continue: {point}")
    await first.ended
    await made.start()
    found = await made.end()
    assert not found.troubles(), found.troubles()
    assert made.lines("point"), "it was killed there"
    assert found.continued == 2, "the continuation is continued as well"


async def continued_past_its_lease(made: Scene) -> None:
    """A worker is stopped for longer than its lease; what would continue its attempt is refused."""
    await made.append(Deed(pause=0.4, follows=2))
    late = await made.start()
    await made.until("start", 1)
    made.stop(late)
    await made.start()
    await made.until("start", 2)
    made.go_on(late)
    await made.until("finish", 2)
    found = await made.end()
    assert not found.troubles(), found.troubles()
    assert (found.events, found.continued) == (3, 1)
