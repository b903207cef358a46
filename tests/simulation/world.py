"""A store beside the naive reference: what may happen to both, and a check after each step."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from uuid import UUID

from simulation.invariants import ALL, ON_ANSWER, History, Step
from simulation.reference import Reference, Row
from simulation.shown import Shown, Token, look
from stores.makers import STORES, Clock, Job, Make

from lionpride.errors import ExecutionError, LionprideError, LionTimeoutError, Skip
from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.model.flow import Flow
from lionpride.rules.lifecycle import (
    RELEASED,
    RETRYABLE,
    Completion,
    Ending,
    Outcome,
    after_denial,
    after_interruption,
)
from lionpride.stores.contract import Cancelled, Immediate, Settled, Store

S = EventStatus

PRIORITIES = (1.0, 1.0, 1.0, 0.0, 2.0, -1.5, 1e300)
RESPONSES = (None, 7, "text", b"\x00\xff", 2**70, (1, {"a": 2}))

WEIGHTS = {
    "append": 9,
    "claim": 12,
    "start": 5,
    "settle": 10,
    "deny": 8,
    "release": 2,
    "interrupt": 2,
    "extend": 1,
    "cancel": 3,
    "requeue": 3,
    "remove": 2,
    "prune": 2,
    "restart": 1,
    "find": 2,
    "export": 1,
    "advance": 4,
}


@dataclass(eq=False)
class Process:
    """One who uses the store.

    Attributes:
        store: Its own object over what all share.
        events: The event objects that it has, or had.
        stale: Ids of what others have changed since it looked.
        claims: The attempts that it takes for its own, rightly or not.
    """

    number: int
    store: Store
    events: dict[UUID, Any] = field(default_factory=dict)
    stale: set[UUID] = field(default_factory=set)
    claims: dict[UUID, int] = field(default_factory=dict)
    swept: float = 0.0


class World:
    """A store, the reference, and what may happen to both.

    Args:
        make: Makes the store.
        rng: Decides everything, so that a seed is a history.
        checks: The names of the invariants to check.
    """

    durable = False

    def __init__(self, make: Make, rng: Random, checks: Collection[str] = ALL) -> None:
        self.make = make
        self.rng = rng
        self.checks = checks
        self.clock = Clock()
        self.reference = Reference(self.clock, durable=self.durable)
        self.history = History()
        self.processes = [Process(1, make(self.clock))]
        self.actor = self.main = self.processes[0]
        self.ids: list[UUID] = []
        self.tokens: list[Token] = []
        self.steps: list[Step] = []
        self.met: Counter[Any] = Counter()
        self.shown = Shown({}, [], {}, {}, {}, {}, {})

    @property
    def store(self) -> Store:
        """The store of who acts."""
        return self.actor.store

    @property
    def events(self) -> dict[UUID, Any]:
        """The event objects of who acts."""
        return self.actor.events

    async def close(self) -> None:
        for process in self.processes:
            await process.store.close()

    def weights(self) -> dict[str, int]:
        return WEIGHTS

    async def step(self, verb: str | None = None) -> None:
        """Do one thing to both, and check everything."""
        if verb is None and not self.history.here:
            verb = "append"
        if verb is None:
            (verb,) = self.rng.choices(list(self.weights()), list(self.weights().values()))
        step = Step(verb)
        self.met[verb] += 1
        self.steps.append(step)
        step.by = self.actor.number
        await self.take(step)
        self.actor = self.main
        before, self.shown = self.shown, await self._look()
        step.rows = {row.id: self.seen(row) for row in self.reference.rows}
        self._check(before, step, [each for each in self.checks if each in ON_ANSWER])
        self._note(step)
        self.met.update(self._kinds(step.answer))
        self.met.update({each for each in self.shown.statuses.values() if each in TERMINAL})
        self._check(before, step, [each for each in self.checks if each not in ON_ANSWER])

    async def take(self, step: Step) -> None:
        """Do it."""
        await getattr(self, step.verb)(step)

    async def _look(self) -> Shown:
        """What the store shows to the first process."""
        held = [token for token in self.tokens if token in self.history.outstanding]
        held += self.rng.sample(self.tokens, min(3, len(self.tokens)))
        size, whole = self.rng.choice((2, 100)), self.rng.random() < 0.3
        return await look(self.store, self.clock(), self._leases(held), size, whole=whole)

    def _leases(self, held: list[Token]) -> dict[Token, tuple[Any, float]]:
        """The leases to ask for, with the event of each and how long it is to hold."""
        return {token: (self.events[token[0]], 1e9) for token in held}

    def _kinds(self, answer: Any) -> list[Any]:
        """What can be counted in an answer."""
        if isinstance(answer, Exception):
            return [type(answer).__name__]
        answers = answer if isinstance(answer, list) else []
        return [each for each in answers if isinstance(each, Settled | Cancelled)]

    def _check(self, before: Shown, step: Step, names: Iterable[str]) -> None:
        for name in names:
            ALL[name](before, step, self.shown, self.history)

    def seen(self, row: Row) -> Row:
        """A due time that has come is no due time; and a row that later steps leave alone."""
        return replace(row, due=row.due if row.due and row.due > self.clock() else None)

    # -- both sides --------------------------------------------------------------------------

    async def both(
        self,
        step: Step,
        asked: Awaitable[Any],
        expected: Callable[[], Any],
        read: Callable[[Any], Any] = lambda answer: answer,
    ) -> None:
        """Ask the store and the reference; ``read`` makes ids of the store's events."""
        try:
            step.answer = read(await asked)
        except LionprideError as error:
            step.answer = error
        try:
            step.expected = expected()
        except LionprideError as error:
            step.expected = error

    def _note(self, step: Step) -> None:
        """Take down what the store has said."""
        history, answer = self.history, step.answer
        for token in step.swept:
            history.outstanding.pop(token, None)
        if isinstance(answer, Exception):
            return
        if step.verb == "append":
            history.here.update(answer)
        elif step.verb == "claim":
            for uid, attempt in answer:
                history.attempts[uid] = attempt
                history.outstanding[uid, attempt] = step.by
                self.tokens.append((uid, attempt))
        elif step.verb == "settle":
            for (uid, attempt, _), each in zip(step.given["settlements"], answer, strict=True):
                if each is Settled.APPLIED:
                    history.outstanding.pop((uid, attempt), None)
                    history.applied.add((uid, attempt))
        elif step.verb == "prune":
            history.here.difference_update(step.gone)
        elif step.verb == "remove":
            history.here.difference_update(step.given["ids"])
        elif step.verb == "restart":
            history.outstanding.clear()

    def some(self, wanted: Collection[EventStatus], most: int = 3) -> list[UUID]:
        """A few ids, mostly of these statuses, rarely of none that is here."""
        rows = self.reference.rows
        fitting = [row.id for row in rows if row.status in wanted]
        if self.rng.random() < 0.2:
            fitting = [row.id for row in rows]
        picked = self.rng.sample(fitting, min(len(fitting), self.rng.randint(1, most)))
        if self.rng.random() < 0.1:
            picked.append(self.rng.choice([*self.ids, self.newcomer(0).id]))
        return list(dict.fromkeys(picked))

    def newcomer(self, number: int) -> Job:
        uid = UUID(int=self.rng.getrandbits(128), version=4)
        while uid in self.ids:  # Hypothesis may draw the same bits again
            uid = UUID(int=uid.int + 1)
        job = Job(label=str(number), id=uid)
        self.ids.append(uid)
        self.events[uid] = job
        return job

    def named(self, ids: Iterable[UUID]) -> list[Any]:
        """Events to be given to a verb: as objects, or by id."""
        return [
            self.events[uid] if uid in self.events and self.rng.random() < 0.7 else uid
            for uid in ids
        ]

    def immediate(self) -> Immediate | None:
        """The store's immediate steps, if it has them and they shall be taken."""
        store = self.store
        return store if isinstance(store, Immediate) and self.rng.random() < 0.3 else None

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
        step.given = {"entries": given, "room": room, "exist_ok": exist_ok}
        await self.both(
            step,
            self.store.append(entries, room=room, exist_ok=exist_ok),
            lambda: reference.append(given, room, exist_ok),
            self._held,
        )

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
            claim = now.claim_now()
            step.answer = [] if claim is None else [(claim[0].id, claim[1])]
            step.expected = reference.claim(n, until, skip, **how, holder=self.actor.number)
            return
        numbers = {uid: record.number for uid, record in self.shown.records.items()}
        bounds: dict[str, Any] = {
            "until": None if until is None else numbers[until],
            "skip": {numbers[uid] for uid in skip},
        }
        lease, holder = self.lease(), self.actor.number
        step.given["lease"] = lease
        await self.both(
            step,
            self.store.claim(f"worker {holder}", n, lease=lease, **bounds, **how),
            lambda: reference.claim(n, until, skip, **how, holder=holder, lease=lease),
            lambda answer: self._taken(step, answer),
        )

    def _taken(self, step: Step, answer: Any) -> list[Token]:
        claims, step.wait = answer
        self.actor.claims.update({event.id: attempt for event, attempt in claims})
        self._held([event for event, _ in claims])
        return [(event.id, attempt) for event, attempt in claims]

    def lease(self) -> float:
        """How long a claim is to hold."""
        return 1e9

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
        common: list[Outcome] = [
            RELEASED,
            Ending(S.PENDING, delay=delay, tries=1, error=error),
            after_interruption(row.interruptions if row else 0),
            Ending(S.FAILED, error=error, duration=0.1, retryable=True, tries=1),
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
        now = self.immediate() if len(batch) == 1 else None
        if now is None:
            asked = self.store.settle([(self.events[uid], n, outcome) for uid, n, outcome in batch])
        else:
            asked = self._settle_now(now, *batch[0])
        for uid, attempt, _ in batch:
            if self.actor.claims.get(uid) == attempt:
                del self.actor.claims[uid]
        settle, holder = self.reference.settle, self.actor.number
        await self.both(step, asked, lambda: [settle(*each, holder) for each in batch])

    async def _settle_one(self, step: Step, shown: EventStatus, outcome: Any) -> None:
        """Settle the claim that was denied most, of those that show this; or claim another."""
        rows = [row for row in self._claimed() if row.shown is shown]
        if not rows:
            step.verb = "claim"
            await self.claim(step)
            return
        row = max(rows, key=lambda row: row.denials)
        await self._settle(step, [(row.id, row.attempt, outcome(row))])

    async def deny(self, step: Step) -> None:
        backoff = self.rng.choice((0.0, 0.0, 1.0, 4.0))
        await self._settle_one(step, S.PENDING, lambda row: after_denial(row.denials, backoff))

    async def release(self, step: Step) -> None:
        await self._settle_one(step, S.PENDING, lambda _: RELEASED)

    async def interrupt(self, step: Step) -> None:
        await self._settle_one(
            step, S.PROCESSING, lambda row: after_interruption(row.interruptions)
        )

    async def _settle_now(
        self, now: Immediate, uid: UUID, attempt: int, outcome: Outcome
    ) -> list[Settled]:
        event = self.events[uid]
        if isinstance(outcome, Completion) and self.rng.random() < 0.5:
            return [now.complete_now(event, attempt, outcome.response, outcome.duration)]
        return [now.settle_now(event, attempt, outcome)]

    async def extend(self, step: Step) -> None:
        tokens, lease = self.mine(), self.lease()
        tokens = self.rng.sample(tokens, min(4, len(tokens)))
        step.given = {"tokens": tokens, "lease": lease}
        claims = [(self.events[uid], n) for uid, n in tokens]
        await self.both(
            step,
            self.store.extend(f"worker {self.actor.number}", claims, lease=lease),
            lambda: [self.reference.extend(*token, lease) for token in tokens],
        )

    async def cancel(self, step: Step) -> None:
        ids = self.some([S.PENDING, S.PROCESSING])
        step.given = {"ids": ids}
        asked = self.store.cancel(self.named(ids))
        await self.both(step, asked, lambda: self.reference.cancel(ids))

    async def requeue(self, step: Step) -> None:
        ids = self.some(RETRYABLE)
        step.given = {"ids": ids}
        asked = self.store.requeue(self.named(ids))
        await self.both(step, asked, lambda: self.reference.requeue(ids))

    async def remove(self, step: Step) -> None:
        ids = self.some([S.PENDING, *TERMINAL], 2)
        step.given = {"ids": ids}
        asked = self.store.remove(self.named(ids))
        await self.both(step, asked, lambda: self.reference.remove(ids))

    async def prune(self, step: Step) -> None:
        statuses = self.rng.sample(list(EventStatus), self.rng.randint(1, 3))
        ended = [row.shown for row in self.reference.rows if row.status in TERMINAL]
        if ended and self.rng.random() < 0.4:
            statuses = [max(ended, key=ended.count)]
        limit = self.rng.randint(0, 2) if len(statuses) == 1 and self.rng.random() < 0.7 else None
        step.given = {"statuses": statuses, "limit": limit}
        many = len(statuses) > 1  # in no order then
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
        records = await self.store.events(limit=10_000)
        step.answer = step.expected = len(records)
        for make in STORES.values():
            other = make(self.clock)
            try:
                assert await other.restore(records) == len(records)
                copies = await other.events(limit=10_000)
                step.dumps += zip(records, copies, strict=True)
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
        self.main = self.actor = Process(self.main.number + 1, self.make(self.clock))
        self.main.events = dict(self.processes[0].events)
        self.processes = [self.main]
        restored: list[Any] = list(Flow.from_dict(data).items)
        self.events.update((event.id, event) for event in restored)
        await self.both(step, self.store.load(restored), self._restart_reference)

    def _restart_reference(self) -> int:
        self.reference.restart()
        return len(self.reference.rows)

    async def advance(self, step: Step) -> None:
        step.given = {"seconds": self.rng.choice((0.25, 0.5, 1.0, 5.0))}
        self.clock.advance(step.given["seconds"])
