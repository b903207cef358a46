"""What may happen to a store and to the reference beside it."""

import json
from collections.abc import Collection, Iterable
from copy import deepcopy
from random import Random
from typing import Any, TypeAlias, cast
from uuid import UUID

from simulation.beside import PRIORITIES, RESPONSES, WEIGHTS, Beside, Process
from simulation.invariants import demand
from simulation.reference import Row
from simulation.shown import Token, plain, resolved, without_alarm
from simulation.story import Step
from stores.makers import STORES, Job

from lionpride.errors import ExecutionError, LionTimeoutError, Skip
from lionpride.model.after import CONDITIONS, After, When
from lionpride.model.attempts import Attempt
from lionpride.model.collections.flow import Flow
from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.model.recurrence import Every
from lionpride.model.schedule import Schedule
from lionpride.rules.state_machine import (
    RELEASED,
    RETRYABLE,
    Completion,
    Ending,
    Outcome,
    after_denial,
    after_interruption,
)
from lionpride.stores.contract import BufferedPath, ImmediatePath, Settled
from lionpride.stores.record import Record
from lionpride.stores.schedule_record import ScheduleRecord
from lionpride.stores.terms import Terms

S = EventStatus

Ended: TypeAlias = tuple[UUID, int, Completion]
"""A claim that completed: of which event, which attempt, and with what."""

SCHEDULES = ("hourly", "nightly")

__all__ = ("WEIGHTS", "Process", "World")


class World(Beside):
    """The steps that any store takes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.schedules: dict[str, list[ScheduleRecord]] = {name: [] for name in SCHEDULES}

    # -- steps -------------------------------------------------------------------------------

    async def append(self, step: Step) -> None:
        rng, reference = self.rng, self.reference
        if (now := self.immediate()) is not None:
            job, priority = Job(label="now"), rng.choice(PRIORITIES)
            assert now.append_now(job, priority), "it is certainly new"
            self.events[job.id] = job
            self.ids.append(job.id)
            step.given = {"entries": [(job.id, priority)]}
            step.answer = reference.append([(job.id, priority)], None, False)
            step.expected = step.answer
            return
        jobs = [self.newcomer(number) for number in range(rng.randint(1, 3))]
        jobs += [self.events[uid] for uid in self.returning() if rng.random() < 0.5]
        jobs = [job for job in jobs if job.status is S.PENDING]
        exist_ok = rng.random() < 0.5
        if rng.random() < 0.25 and self.history.here:
            jobs.insert(rng.randint(0, len(jobs)), self.again(rng.choice(self.shown.pages)))
        if rng.random() < 0.1:
            jobs.append(jobs[0])
        entries = [(job, rng.choice(PRIORITIES)) for job in jobs]
        room = None
        if rng.random() < 0.3 and not any(self._unstarted()):
            room = (await self.store.counts())[S.PENDING] + rng.randint(0, 5)
        given = [(job.id, priority) for job, priority in entries]
        terms = self.terms()
        step.given = {"entries": given, "room": room, "exist_ok": exist_ok, "terms": terms}
        await self.both(
            step,
            self.store.append(entries, room=room, exist_ok=exist_ok, terms=terms),
            lambda: reference.append(given, room, exist_ok, terms),
            self._held,
        )

    async def depend(self, step: Step) -> None:
        """Append some after others: after what is here, whatever has become of it, or after new."""
        step.verb = "append"
        rng, here = self.rng, [row.id for row in self.reference.rows]
        jobs = [self.newcomer(number) for number in range(rng.randint(1, 4))]
        after: dict[UUID, After] = {}
        for place, job in enumerate(jobs):
            parents = rng.sample(here, min(len(here), rng.choice((0, 1, 1, 2, 3))))
            parents += [other.id for other in jobs[:place] if rng.random() < 0.5]
            if rng.random() < 0.03:
                parents.append(UUID(int=rng.getrandbits(128), version=4))
            parents = [uid for uid in dict.fromkeys(parents) if uid != job.id]  # bits repeat an id
            if parents:
                rng.shuffle(parents)
                after[job.id] = After(tuple(parents), cast("When", rng.choice(CONDITIONS)))
        rng.shuffle(jobs)
        entries = [(job, rng.choice(PRIORITIES)) for job in jobs if job.status is S.PENDING]
        given, terms = [(job.id, priority) for job, priority in entries], self.terms()
        step.given = {"entries": given, "terms": terms, "after": after}
        await self.both(
            step,
            self.store.append(entries, terms=terms, after=after),
            lambda: self.reference.append(given, None, False, terms, after),
            self._held,
        )

    def terms(self) -> Terms:
        """On what an append is made: mostly on none."""
        rng, now = self.rng, self.clock()
        due = now + rng.choice((0.25, 1.0)) if rng.random() < 0.15 else None
        expires = (due or now) + rng.choice((0.5, 4.0)) if rng.random() < 0.15 else None
        return Terms(due=due, expires=expires)

    async def only(self, step: Step) -> None:
        """Append one of a value that one alone may have."""
        rng, job = self.rng, self.newcomer(0)
        unique, period = (rng.choice("ab"), self.clock()), rng.choice((0.0, 5.0))
        terms = self.terms()._replace(unique=unique, period=period)
        step.given = {"id": job.id, "terms": terms}
        await self.both(
            step,
            self.store.append([(job, 1.0)], terms=terms),
            lambda: self.reference.append([(job.id, 1.0)], None, False, terms),
            self._held,
        )

    async def schedule(self, step: Step) -> None:
        """Replace a schedule, or one that has changed meanwhile; append events with it."""
        rng, name = self.rng, self.rng.choice(SCHEDULES)
        old = rng.choice([None, *self.schedules[name][-2:], *self.schedules[name][-1:]])
        new = None if old is not None and rng.random() < 0.15 else schedule_record(rng, name)
        jobs = [Job(label="due", id=self.new_id()) for _ in range(rng.randint(0, 2))]
        if rng.random() < 0.25 and self.history.here:
            jobs.append(Job(label="copy", id=rng.choice(self.shown.pages)))
        records = [pending_record(job, rng.choice(PRIORITIES)) for job in jobs]
        room = None
        if rng.random() < 0.3 and not any(self._unstarted()):
            room = (await self.store.counts())[S.PENDING] + rng.randint(0, 3)
        given = [(record.id, record.priority) for record in records]
        versions = old and old.version, new and new.version
        step.given = {"name": name, "versions": versions, "ids": [uid for uid, _ in given]}

        async def change() -> tuple[bool, dict[str, str]]:
            made = await self.store.change_schedule(old, new, events=records, room=room)
            return made, {each.name: each.version for each in await self.store.schedules()}

        await self.both(
            step, change(), lambda: self.reference.change_schedule(name, *versions, given, room)
        )
        self.schedules[name] += [] if new is None else [new]
        for job in jobs:
            if (held := self.store.states.find(job.id)) is not None:
                self.events[job.id] = held

    def new_id(self) -> UUID:
        uid = self.newcomer(0).id
        del self.events[uid]
        self.reference.removed.pop(uid, None)
        return uid

    def returning(self) -> Iterable[UUID]:
        """Ids that were removed, and may be appended again."""
        return tuple(self.reference.removed)

    def again(self, uid: UUID) -> Any:
        """An event of an id that is here: the one known to who acts, or a copy."""
        return self.events[uid] if uid in self.events else Job(label="copy", id=uid)

    def _held(self, events: Iterable[Any]) -> list[UUID]:
        """Have who acts have these; their ids."""
        self.events.update({event.id: event for event in events})
        return [event.id for event in events]

    def _unstarted(self) -> Iterable[UUID]:
        return (row.id for row in self._claimed() if row.shown is S.PENDING)

    def _claimed(self) -> list[Row]:
        """What is claimed by who acts."""
        holder = self.actor.number
        return [row for row in self.reference.rows if row.claimed and row.holder == holder]

    async def claim(self, step: Step) -> None:
        rng, reference, n = self.rng, self.reference, self.rng.choice((0, 1, 1, 2, 3, 9))
        reference.lapse()
        here = self.shown.pages
        until = rng.choice(here) if here and rng.random() < 0.3 else None
        skip = rng.sample(here, min(2, len(here))) if rng.random() < 0.3 else []
        how: dict[str, Any] = {"denied": rng.random() < 0.5, "start": rng.random() < 0.3}
        now = self.immediate()
        if now is not None:
            n, until, skip, how = 1, None, [], {"denied": False, "start": True}
        step.given = {"n": n, "until": until, "skip": skip, **how}
        step.eligible = [row.id for row in reference.eligible(until, skip, how["denied"])]
        if now is not None:
            stale = [token for token in self.mine() if token not in self.history.outstanding]
            if stale and rng.random() < 0.5:  # what was settled before changes nothing
                uid, attempt = rng.choice(stale)
                event = self.events[uid]
                now.complete_now(event, attempt, "stale", 0.1)
            claim = now.claim_now()
            step.answer = [] if claim is None else [(claim[0].id, claim[1])]
            step.expected = reference.claim(n, until, skip, **how, holder=self.actor.number)
            return
        numbers = {uid: record.number for uid, record in self.shown.records.items()}
        bounds: dict[str, Any] = {
            "until": None if until is None else numbers[until],
            "skip": {numbers[uid] for uid in skip},
        }
        holder, lease = self.actor.number, self.actor.lease
        step.given["lease"] = lease
        await self.both(
            step,
            self.store.claim(f"worker {holder}", n, **bounds, **how),
            lambda: reference.claim(n, until, skip, **how, holder=holder, lease=lease),
            lambda answer: self._taken(step, answer),
        )

    def _taken(self, step: Step, answer: Any) -> list[Token]:
        claims, step.wait = answer
        self.actor.claims.update({event.id: attempt for event, attempt in claims})
        self._held([event for event, _ in claims])
        return [(event.id, attempt) for event, attempt in claims]

    async def start(self, step: Step) -> None:
        waiting = list(self._unstarted())
        if waiting:
            step.given = {"id": self.rng.choice(waiting)}
            self.store.start(self.events[step.given["id"]])
            self.reference.start(step.given["id"])

    def _outcome(self, uid: UUID) -> Outcome:
        """What may come of a claim of this event, as it stands."""
        rng = self.rng
        row = self.reference.find(uid) if self.reference.knows(uid) else None
        shown = self.events[uid].status
        error, delay = ExecutionError(f"no {rng.randint(0, 9)}"), rng.choice((None, 0.5, 3.0))
        number = rng.randint(1, 9)
        attempt = Attempt(number, self.clock(), 0.1, str(error), "  File x\n" * (number % 2))
        common: list[Outcome] = [
            RELEASED,
            Ending(S.PENDING, delay=delay, tries=1, error=error, attempt=attempt),
            Ending(S.PENDING, tries=1, error=error, expires=rng.choice((None, self.clock() + 2.0))),
            after_interruption(row.interruptions if row else 0),
            Ending(S.FAILED, error=error, duration=0.1, retryable=True, tries=1, attempt=attempt),
            Ending(S.CANCELLED, error=LionTimeoutError("late"), retryable=True, tries=1),
            Ending(S.SKIPPED, error=Skip("nothing"), retryable=False),
        ]
        if shown is not S.PENDING:
            return rng.choice([*common, *(Completion(rng.choice(RESPONSES), 0.1),) * 4])
        denial = after_denial(row.denials if row else 0, rng.choice((0.0, 1.0, 4.0)))
        return rng.choice([*common, *(denial,) * 8])

    async def settle(self, step: Step) -> None:
        rng, held = self.rng, self.history.outstanding
        tokens = self.mine()
        outstanding = [token for token in tokens if token in held]
        picked: list[Token] = []
        for _ in range(rng.randint(1, 3)):
            if outstanding and rng.random() < 0.7:
                picked.append(rng.choice(outstanding))
            elif tokens:
                uid, attempt = rng.choice(tokens)
                picked.append((uid, attempt + rng.choice((0, 0, 0, 1))))
        batch = [(uid, attempt, self._outcome(uid)) for uid, attempt in picked]
        if picked and rng.random() < 0.2:
            batch.append(batch[0])
        await self._settle(step, batch)

    def mine(self) -> list[Token]:
        """The tokens of events that who acts has as objects."""
        return [token for token in self.tokens if token[0] in self.events]

    async def _settle(self, step: Step, batch: list[tuple[UUID, int, Outcome]]) -> None:
        step.verb, step.given = "settle", {"settlements": batch}
        for uid, attempt, _ in batch:
            if self.actor.claims.get(uid) == attempt:
                del self.actor.claims[uid]
        completions = [(uid, n, it) for uid, n, it in batch if isinstance(it, Completion)]
        prompt = self.store if batch and len(completions) == len(batch) else None
        if isinstance(prompt, BufferedPath) and self.rng.random() < 0.6:
            await self._complete_soon(step, prompt, completions)
            return
        now = self.immediate() if len(batch) == 1 else None
        if now is None:
            asked = self.store.settle([(self.events[uid], n, outcome) for uid, n, outcome in batch])
        else:
            asked = self._settle_now(now, *batch[0])
        holder = self.actor.number
        await self.both(step, asked, lambda: self.reference.settle_all(batch, holder))

    async def _complete_soon(self, step: Step, prompt: BufferedPath, batch: list[Ended]) -> None:
        """Hand completions over, and wait until they are on record; nobody is answered."""
        for uid, attempt, outcome in batch:
            response, duration = outcome.response, outcome.duration
            prompt.complete_soon(self.events[uid], attempt, response, duration)
        await prompt.settled()
        step.answer = step.expected = self.reference.settle_all(batch, self.actor.number)

    async def _settle_one(self, step: Step, shown: EventStatus, outcome: Any) -> None:
        """Settle the claim that was denied most, of those that show this; or claim another."""
        rows = [row for row in self._claimed() if row.shown is shown]
        if not rows:
            step.verb = "claim"
            await self.claim(step)
            return
        row = max(rows, key=lambda row: (row.denials, row.tries + row.interruptions))
        await self._settle(step, [(row.id, row.attempt, outcome(row))])

    async def deny(self, step: Step) -> None:
        backoff = self.rng.choice((0.0, 0.0, 1.0, 4.0))
        await self._settle_one(step, S.PENDING, lambda row: after_denial(row.denials, backoff))

    async def complete(self, step: Step) -> None:
        """Complete the attempt that had most others before it."""
        response = self.rng.choice(RESPONSES)
        await self._settle_one(step, S.PROCESSING, lambda _: Completion(response, 0.1))

    async def release(self, step: Step) -> None:
        await self._settle_one(step, S.PENDING, lambda _: RELEASED)

    async def interrupt(self, step: Step) -> None:
        await self._settle_one(
            step, S.PROCESSING, lambda row: after_interruption(row.interruptions)
        )

    async def _settle_now(
        self, now: ImmediatePath, uid: UUID, attempt: int, outcome: Outcome
    ) -> list[Settled]:
        event = self.events[uid]
        if isinstance(outcome, Completion) and self.rng.random() < 0.5:
            return [now.complete_now(event, attempt, outcome.response, outcome.duration)]
        return [now.settle_now(event, attempt, outcome)]

    async def cancel(self, step: Step) -> None:
        ids = self.some([S.PENDING, S.PROCESSING])
        step.given = {"ids": ids}
        asked = self.store.cancel(self.named(ids))
        await self.both(step, asked, lambda: self.reference.cancel(ids))

    async def retry(self, step: Step) -> None:
        ids = self.some(RETRYABLE)
        step.given = {"ids": ids}
        asked = self.store.retry(self.named(ids))
        await self.both(step, asked, lambda: self.reference.retry(ids))

    async def remove(self, step: Step) -> None:
        ids = self.some([S.PENDING, *TERMINAL], 2)
        step.given = {"ids": ids}
        asked = self.store.remove(self.named(ids))
        await self.both(step, asked, lambda: self.reference.remove(ids))

    async def prune(self, step: Step) -> None:
        statuses = self.rng.sample(list(EventStatus), self.rng.randint(1, 3))
        ended = [row.shown for row in self.reference.rows if row.status in TERMINAL]
        if ended and self.rng.random() < 0.6:
            statuses = [max(ended, key=ended.count)]
        limit = self.rng.randint(0, 2) if len(statuses) == 1 and self.rng.random() < 0.7 else None
        times = [row.ended for row in self.reference.prunable(statuses)]
        many = len(statuses) > 1 or len(set(times)) < len(times)  # in no order then
        limit = None if many else limit
        step.given = {"statuses": statuses, "limit": limit}
        await self.both(
            step,
            self.store.prune(statuses, limit=limit),
            lambda: (sorted if many else list)(self._pruned(step, statuses, limit)),
            lambda gone: (sorted if many else list)([event.id for event in gone]),
        )

    def _pruned(self, step: Step, statuses: Collection[S], limit: int | None) -> list[UUID]:
        """What is gone, of what who acts had."""
        step.gone = self.reference.prune(statuses, limit)
        return [uid for uid in step.gone if uid in self.events]

    async def expire(self, step: Step) -> None:
        """Finish what expired: each claim does so first, also one that may take no event."""
        claims, _ = await self.store.claim(f"worker {self.actor.number}", until=0)
        assert claims == []
        self.reference.lapse()

    async def find(self, step: Step) -> None:
        """Get an event by its id: the object that who acts has, or a new one."""
        (uid, *_) = self.some(EventStatus, 1) or [self.newcomer(0).id]
        step.given = {"id": uid}
        known = self.reference.knows(uid)
        found: Any = await self.store.find(uid)
        step.answer, step.expected = found and found.id, uid if known else None
        if known and found is not None:
            step.answer = uid if self.events.setdefault(uid, found) is found else "a copy"

    async def export(self, step: Step) -> None:
        """Read all records, and restore them in an empty store of each kind: a round trip."""
        records = await self.store.list_records(limit=10_000)
        step.answer = step.expected = len(records)
        copied = deepcopy(self.reference)
        copied.resolved.clear()
        for row in copied.rows:
            row.shown = row.status  # a record says of what is claimed that it runs
        copied.restart()
        changed = {row.id for row in copied.late()}  # what ran, and is to be started again in vain
        copied.lapse()
        changed |= copied.resolved  # for a parent that failed or was retried
        # An event in memory names parents that were removed; a database refuses unknown ones.
        stranded = any(
            not self.reference.knows(parent)
            for row in self.reference.rows
            if row.blocked or row.for_parents
            for parent in row.after.parents
        )
        for kind, make in STORES.items():
            if kind != "memory" and stranded and not self.durable:
                continue
            other = without_alarm(make(self.clock))
            try:
                assert await other.import_records(records) == len(records)
                await other.claim("worker", until=0)  # ends what is late
                await resolved(other)
                copies = await other.list_records(limit=10_000)
                for record, copy in zip(
                    (plain(each, self.clock()) for each in records),
                    (plain(each, self.clock()) for each in copies),
                    strict=True,
                ):
                    if record.id in changed:
                        row = self.seen(copied.find(record.id))
                        same = (copy.status, copy.due) == (row.shown, row.due)
                        demand(same, f"D3: a copy of {record} is {copy}")
                    else:
                        step.dumps.append((record, copy))
            finally:
                await other.close()

    async def restart(self, step: Step) -> None:
        """Write the states down, and read them into an empty store."""
        mode: Any = self.rng.choice(("python", "json"))
        step.given = {"mode": mode}
        data = self.store.states.to_dict(mode)
        if mode == "json":
            data = json.loads(json.dumps(data))
        await self.close()
        self.main = self.actor = Process(self.main.number + 1, without_alarm(self.make(self.clock)))
        self.main.events = dict(self.processes[0].events)
        self.processes = [self.main]
        restored: list[Any] = list(Flow.from_dict(data).items)
        self.events.update((event.id, event) for event in restored)
        await self.both(step, self.store.load(restored), self._restart_reference)

    def _restart_reference(self) -> int:
        self.reference.restart()
        self.reference.schedules.clear()  # they are no events: a dump of these leaves them out
        return len(self.reference.rows)

    async def advance(self, step: Step) -> None:
        step.given = {"seconds": self.rng.choice((0.25, 0.5, 1.0, 5.0))}
        self.clock.advance(step.given["seconds"])
        if self.reference.late():
            await self.expire(step)  # a timer of the store's may do so at any turn


def schedule_record(rng: Random, name: str) -> ScheduleRecord:
    """A schedule under a version of its own."""
    uid, version = (UUID(int=rng.getrandbits(128), version=4) for _ in range(2))
    rule = Schedule(Every(rng.choice((1.0, 60.0))))
    return ScheduleRecord(name, uid, "kind", {}, rule, rng.random(), version=version.hex)


def pending_record(job: Job, priority: float) -> Record:
    """The record of an event to append."""
    payload = job.to_dict("json")
    kind = payload["metadata"]["lion_class"]
    counters = {"attempt": 0, "tries": 0, "denials": 0, "interruptions": 0}
    where = {"number": 0, "queue": "", "kind": kind, "status": S.PENDING}
    return Record(id=job.id, priority=priority, due=None, payload=payload, **where, **counters)  # type: ignore[arg-type]
