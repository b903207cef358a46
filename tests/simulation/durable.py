"""A store that outlives its process: several on one file, closed, killed and opened again."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from simulation.beside import PRIORITIES, RESPONSES
from simulation.reference import Row
from simulation.shown import Shown, resolved, without_alarm
from simulation.story import Broken, Step
from simulation.world import WEIGHTS, Process, World
from stores.makers import FOLDERS, HOMES, Folder, Job, postgres_in, sqlite_in

from lionpride.model.execution import EventStatus
from lionpride.rules.state_machine import MAX_INTERRUPTIONS, Completion
from lionpride.stores.contract import BufferedPath, Store
from lionpride.stores.postgres.session import Session
from lionpride.stores.record import Record

S = EventStatus

TICK = 2.0**-10
"""Seconds from each step to the next: what processes end in one microsecond has no order."""

DURABLE = {"reopen": 1, "crash": 2, "cut": 2, "another": 2, "reap": 3, "lapse": 3, "late": 3}
"""The steps of which a store in memory knows nothing."""

AT_ONCE = {"arrive": 8, "together": 8}
"""The steps of which one transaction makes more than their parts would come to."""

LEASES = (1.0, 4.0, 10.0, 60.0)
"""Seconds that the claims of a process hold."""

CLAIMS = {"claim", "deny", "complete", "release", "interrupt", "arrive", "together"}
"""The steps that may claim."""

ALONE = {"restart", "reopen", "crash", "cut", "another", "export"}
"""What the first process alone does; any other step is any process's."""


class Building(World):
    """A file, the processes that use it, and the reference."""

    durable = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.count = 1
        without_alarm(self.main.store)
        self.history.partial = True

    # -- where it is -------------------------------------------------------------------------

    @property
    def folder(self) -> Any:
        """Where the store is."""
        return FOLDERS[self.main.store]

    def beside(self, folder: Any, **how: Any) -> Store:
        """One more store there."""
        return without_alarm(sqlite_in(folder, self.clock, **how))

    async def killed_in(self, deed: Callable[[], Awaitable[None]], done: bool) -> Any:
        """Where it is after all were killed while a deed was committed: before that, or after."""
        commits: Any = self.main.store._backend.file.commits  # type: ignore[attr-defined]
        rows, folder = commits._rows, Folder()
        commit, source = rows.commit, self.folder

        def cut() -> None:
            rows.commit = commit  # what follows, such as the end of a child, is lost
            if done:
                commit()
            for name in ("run.db", "run.db-wal"):
                if (source.path / name).exists():
                    shutil.copy(source.path / name, folder.path / name)
            if not done:
                commit()

        rows.commit = cut
        await deed()
        return folder

    # -- what happens ------------------------------------------------------------------------

    def weights(self) -> dict[str, int]:
        return WEIGHTS | DURABLE | AT_ONCE

    async def step(self, verb: str | None = None) -> None:
        self.clock.advance(TICK)
        if verb is None:
            pick = self.rng.choices(list(self.weights()), list(self.weights().values()))[0]
            verb = pick if self.history.here else "append"
            if self._has_arrived() and self.rng.random() < 0.6:  # nothing has come in between
                verb = self.rng.choice(("together", "complete"))
        if len(self.processes) > 1 and verb not in ALONE and self.rng.random() < 0.4:
            self.actor = self.rng.choice(self.processes[1:])
        await super().step(verb)

    async def take(self, step: Step) -> None:
        before, viewer = self._stand(), self.main
        step.stale = set(viewer.stale)
        await super().take(step)
        for process in self.processes:
            await resolved(process.store)
        after = self._stand()
        changed = {uid for uid in before.keys() | after.keys() if before.get(uid) != after.get(uid)}
        for process in self.processes:
            if process is self.actor:
                process.stale -= changed & after.keys()
            else:
                process.stale |= changed
        others = {row.id for row in self.reference.rows if self._is_anothers(row)}
        step.unsure = self.main.stale | others
        step.renewed = viewer is not self.main

    def expires_first(self, verb: str) -> bool:
        # The children of what a claim ends are released after that claim.
        return super().expires_first(verb) or (verb in CLAIMS and self.reference.leaves_children())

    def _stand(self) -> dict[UUID, Any]:
        hidden: dict[str, Any] = {"holder": 0, "until": 0.0, "cancel": False}
        hidden |= {"met": {}, "gone": frozenset()}
        return {row.id: replace(row, **hidden) for row in self.reference.rows}

    def _is_anothers(self, row: Row) -> bool:
        return row.claimed and row.holder != self.main.number

    def seen(self, row: Row) -> Row:
        """What the first process sees of a row: not whether another has started it."""
        row = super().seen(row)
        return replace(row, denials=row.before) if self._is_anothers(row) else row

    async def _look(self) -> Shown:
        shown = await super()._look()
        if len(self.processes) > 1 and self.rng.random() < 0.2:
            other = self.rng.choice(self.processes[1:]).store
            if await other.counts() != shown.counts:
                raise Broken("S2: another process counts otherwise")
            records = await other.list_records(limit=10_000)
            if {each.id: each.status for each in records} != {
                each.id: each.status for each in shown.records.values()
            }:
                raise Broken("S1: another process lists otherwise")
        return shown

    # -- steps that any store takes, and what is more to them here ---------------------------

    def newcomer(self, number: int) -> Job:
        job = super().newcomer(number)
        if self.rng.random() < 0.1:  # one that has seen many of its processes die
            job.execution.status = S.PENDING
            job.execution.interruptions = MAX_INTERRUPTIONS - 1
            row = Row(job.id, 0.0, 0, interruptions=MAX_INTERRUPTIONS - 1)
            self.reference.removed[job.id] = row
        return job

    def returning(self) -> Iterable[UUID]:
        alone = len(self.processes) == 1
        return [uid for uid in super().returning() if uid in self.events] if alone else ()

    async def claim(self, step: Step) -> None:
        self._sweep(step)
        await super().claim(step)

    async def expire(self, step: Step) -> None:
        if self._sweeps() and self.reference.leaves_children():
            await self.store.reap(1000)  # before anything expires, which may end the children
        self._sweep(step)
        await super().expire(step)

    def _sweep(self, step: Step) -> None:
        """Reap in the reference, if the next claim of who acts does."""
        if self._sweeps():
            self.actor.swept = self.clock()
            step.swept += self.reference.reap(1000)

    def _sweeps(self) -> bool:
        """Whether a claim of who acts sweeps first."""
        return self.clock() - self.actor.swept >= 1.0

    async def arrive(self, step: Step) -> None:
        """Append some, and claim in the very transaction."""
        if self._sweeps():  # then it takes one step after another
            step.verb = "claim"
            await self.claim(step)
            return
        rng, store, holder, lease = self.rng, self.store, self.actor.number, self.actor.lease
        assert isinstance(store, BufferedPath), "a durable store is one"
        jobs = [self.newcomer(number) for number in range(rng.randint(2, 4))]
        new = [(job, rng.choice(PRIORITIES)) for job in jobs if "_status" not in vars(job)]
        given = [(job.id, priority) for job, priority in new]
        n, start = rng.choice((2, 9, 99)), rng.random() < 0.7
        bounds: dict[str, Any] = {"until": None, "skip": [], "denied": False}
        step.given = {"new": given, "n": n, "start": start, "lease": lease, **bounds}
        step.verb = "claim"

        async def asked() -> Any:
            entering = [store.append_soon(*each) for each in new]
            claimed = await self.store.claim(f"worker {holder}", n, start=start)
            await asyncio.gather(*entering)
            return claimed

        def expected() -> Any:
            self.reference.append(given, None, False)
            step.eligible = [row.id for row in self.reference.eligible(**bounds)]
            return self.reference.claim(n, **bounds, start=start, holder=holder, lease=lease)

        await self.both(step, asked(), expected, lambda answer: self._taken(step, answer))

    def _note(self, step: Step) -> None:
        super()._note(step)
        self.history.here.update(uid for uid, _ in step.given.get("new", ()))

    async def together(self, step: Step) -> None:
        """Complete all that who acts has started, or thinks it has, in one transaction."""
        mine = [
            (uid, attempt, Completion(self.rng.choice(RESPONSES), 0.1))
            for uid, attempt in self.actor.claims.items()
            if self.reference.knows(uid) and self.events[uid].status is S.PROCESSING
        ]
        await (self._settle(step, mine) if mine else self.arrive(step))

    def _has_arrived(self) -> bool:
        """Whether some were claimed in the last transaction that were new in it."""
        return bool(self.steps) and "new" in self.steps[-1].given

    async def find(self, step: Step) -> None:
        gone = {uid for uid in self.events if not self.reference.knows(uid)}
        await super().find(step)
        if step.given["id"] in gone:
            step.answer = None  # what others have removed may be known here still

    async def restart(self, step: Step) -> None:
        claimed = {row.holder for row in self.reference.rows if row.claimed}
        # As long as it shows all, and in the order of arrival: it shows them as it meets them.
        whole = list(self.shown.statuses) == self.shown.pages and not self.main.stale
        # An event that was read from the database does not show its parents.
        whole = whole and not any(row.after.parents for row in self.reference.rows)
        if len(self.processes) > 1 or not whole or claimed - {self.main.number}:
            step.verb = "reopen"
            await self.reopen(step)
            return
        self.count += 1
        await super().restart(step)
        self.main.number = self.count

    # -- steps of its own --------------------------------------------------------------------

    def _opened(self, folder: Any) -> Process:
        self.count += 1
        lease = self.rng.choice(LEASES)
        return Process(self.count, self.beside(folder, lease=lease), lease=lease)

    def _begin(self, folder: Any) -> None:
        """A new first process."""
        self.main = self.actor = self._opened(folder)
        self.processes.insert(0, self.main)

    async def _dump(self) -> list[Record]:
        """What the file says to somebody who has nothing to do with it."""
        reader = self.beside(self.folder)
        try:
            return await reader.list_records(limit=10_000)
        finally:
            await reader.close()

    async def reopen(self, step: Step) -> None:
        """Close and open, and again: D3."""
        dump = await self._dump()
        for _ in range(2):
            folder = self.folder
            await self.processes.pop(0).store.close()
            self._begin(folder)
            again = await self.main.store.list_records(limit=10_000)
            step.dumps += [*zip(dump, again, strict=True)]
            dump = again

    async def crash(self, step: Step) -> None:
        """The first process is held up, and another takes its place; it may go on later."""
        self._begin(self.folder)
        while len(self.processes) > 3:
            await self.processes.pop().store.close()

    async def another(self, step: Step) -> None:
        """One more process comes, or the last one goes."""
        if len(self.processes) > 2:
            await self.processes.pop().store.close()
        else:
            self.processes.append(self._opened(self.folder))

    async def cut(self, step: Step) -> None:
        """All processes are killed while one commits: before that is done, or before it is told."""
        done = step.given["done"] = self.rng.random() < 0.5
        folder = await self.killed_in(lambda: self._last_deed(step, done), done)
        await self.close()
        self.processes.clear()
        self._begin(folder)
        if done and any(row.after.parents for row in self.reference.rows):
            await self.expire(step)  # a claim resolves what the process has left

    async def _last_deed(self, step: Step, done: bool) -> None:
        """What is under way at a cut."""
        history, claims = self.history, [row for row in self._claimed() if row.holder]
        if claims and self.rng.random() < 0.6:
            row = self.rng.choice(claims)
            token = row.id, row.attempt
            outcome = self._outcome(row.id)
            step.given |= {"settle": row.id}
            answers = await self.store.settle([(self.events[row.id], row.attempt, outcome)])
            assert answers[0].is_recorded, "it was its own"
            if done:
                self.reference.settle(*token, outcome, row.holder)
                history.outstanding.pop(token)
                history.applied.add(token)
                step.moved = {row.id}
        else:
            jobs = [Job(label="last") for _ in range(self.rng.randint(1, 3))]
            entries = [(job, 1.0) for job in jobs]
            step.given |= {"append": [job.id for job in jobs]}
            await asyncio.gather(*(self.store.append([each]) for each in entries))
            numbered = sorted(jobs, key=lambda job: job.execution.arrival or 0)
            if done:
                self.reference.append([(job.id, 1.0) for job in numbered], None, False)
                history.here |= {job.id for job in jobs}
                step.moved = {job.id for job in jobs}
                self.ids += [job.id for job in jobs]

    async def reap(self, step: Step) -> None:
        limit = self.rng.choice((1, 2, 1000))
        step.given |= {"limit": limit}

        def swept() -> int:
            swept = self.reference.reap(limit)
            step.swept += swept
            return len(swept)

        await self.both(step, self.store.reap(limit), swept)

    async def late(self, step: Step) -> None:
        """A process wakes up after its leases have lapsed, and settles what it has lost: F2."""
        lost = [
            (process, uid, attempt)
            for process in self.processes
            for uid, attempt in process.claims.items()
            if (uid, attempt) not in self.history.outstanding and self.reference.knows(uid)
        ]
        if not lost:
            step.verb = "lapse"
            await self.lapse(step)
            return
        taken = [each for each in lost if self.reference.find(each[1]).claimed]
        self.actor, uid, attempt = self.rng.choice(taken or lost)
        step.by = self.actor.number
        await self._settle(step, [(uid, attempt, self._outcome(uid))])

    async def lapse(self, step: Step) -> None:
        """Time passes in which nobody renews a lease."""
        step.given = {"seconds": self.rng.choice((2.0, 12.0))}
        self.clock.advance(step.given["seconds"])
        if self.reference.late():
            await self.expire(step)
        await self.reap(step)


class RolledBack(Exception):
    """The transaction of a killed process."""


class Estate(Building):
    """A schema of a PostgreSQL server, the processes that use it, and the reference."""

    tied = True  # the rows of one statement are in the order of their numbers

    @property
    def folder(self) -> Any:
        return HOMES[self.main.store]

    def weights(self) -> dict[str, int]:
        return WEIGHTS | DURABLE  # its claims and appends go over connections of their own

    def beside(self, folder: Any, **how: Any) -> Store:
        return without_alarm(postgres_in(folder, self.clock, **how))

    async def killed_in(self, deed: Callable[[], Awaitable[None]], done: bool) -> Any:
        home = self.folder
        if not done:
            opened: Any = self.main.store._backend.opened  # type: ignore[attr-defined]
            for session in {opened.append_session, opened.settle_session}:
                session.run = partial(rolled_back, session.run)
        await deed()
        return home


def lose_answers(patch: pytest.MonkeyPatch, rng: Random) -> Counter[str]:
    """Lose some of the answers of a PostgreSQL server after it has committed the step.

    Not those of claims: what they have taken is released at the next reap.

    Returns:
        How many were lost, by the names of the steps.
    """
    run, lost = Session.run, Counter[str]()

    async def run_twice(self: Session, step: Any, *args: Any, **more: Any) -> Any:
        name = getattr(step, "__name__", type(step).__name__)
        is_claim = isinstance(step, partial) and step.func.__name__ == "_take"
        loses = not is_claim and self._writes and rng.random() < 0.2

        async def losing(db: Any) -> Any:
            answer = await step(db)
            if loses and not db.again:
                lost[name] += 1
                raise asyncpg.ConnectionDoesNotExistError("the connection was cut")
            return answer

        return await run(self, losing, *args, **more)

    patch.setattr(Session, "run", run_twice)
    return lost


async def rolled_back(run: Any, step: Any, *args: Any, **more: Any) -> Any:
    """What a step answers whose transaction comes to nothing."""
    answers = []

    async def spoilt(db: Any) -> None:
        async with db.transaction():
            answers.append(await step(db))
            raise RolledBack

    with suppress(RolledBack):
        await run(spoilt, *args, **more)
    return answers[-1]
