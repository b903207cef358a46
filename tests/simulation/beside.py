"""A store beside the naive reference, and a check after each step that both have taken."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from uuid import UUID

from simulation.invariants import ALL, ON_ANSWER
from simulation.reference import Reference, Row
from simulation.shown import Shown, Token, look
from simulation.story import History, Step
from stores.makers import Clock, Job, Make

from lionpride.errors import LionprideError
from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.stores.contract import Cancelled, ImmediatePath, Settled, Store

S = EventStatus

PRIORITIES = (1.0, 1.0, 1.0, 0.0, 2.0, -1.5, 1e300)
RESPONSES = (None, 7, "text", b"\x00\xff", 2**70, (1, {"a": 2}))

WEIGHTS = {
    "append": 9,
    "only": 4,
    "depend": 6,
    "schedule": 2,
    "expire": 1,
    "claim": 12,
    "start": 5,
    "settle": 10,
    "deny": 11,
    "complete": 4,
    "release": 2,
    "interrupt": 2,
    "cancel": 3,
    "retry": 3,
    "remove": 2,
    "prune": 3,
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
        lease: Seconds that its claims hold.
    """

    number: int
    store: Store
    events: dict[UUID, Any] = field(default_factory=dict)
    stale: set[UUID] = field(default_factory=set)
    claims: dict[UUID, int] = field(default_factory=dict)
    swept: float = 0.0
    lease: float = 10.0


class Beside:
    """A store, the reference, and what may happen to both.

    Args:
        make: Makes the store.
        rng: Decides everything, so that a seed is a history.
        checks: The names of the invariants to check.
    """

    durable = False
    tied = False

    def __init__(self, make: Make, rng: Random, checks: Collection[str] = ALL) -> None:
        self.make = make
        self.rng = rng
        self.checks = checks
        self.clock = Clock()
        self.reference = Reference(self.clock, durable=self.durable, tied=self.tied)
        self.history = History()
        self.processes = [Process(1, make(self.clock))]
        self.actor = self.main = self.processes[0]
        self.ids: list[UUID] = []
        self.tokens: list[Token] = []
        self.steps: list[Step] = []
        self.met: Counter[Any] = Counter()
        self.shown = Shown({}, [], {}, {}, {}, {})

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
        if self.expires_first(verb):
            actor = self.actor  # a claim ends what is late by itself; else it is a step of its own
            await Beside.step(self, "expire")
            self.actor = actor
        step = Step(verb)
        self.met[verb] += 1
        self.steps.append(step)
        step.by = self.actor.number
        self.reference.resolved.clear()
        await self.take(step)
        step.resolved = set(self.reference.resolved)
        self.actor = self.main
        before, self.shown = self.shown, await self._look()
        step.rows = {row.id: self.seen(row) for row in self.reference.rows}
        step.parents = await self._parents()
        self._check(before, step, [each for each in self.checks if each in ON_ANSWER])
        self._note(step)
        self.met.update(self._kinds(step.answer))
        self.met.update({each for each in self.shown.statuses.values() if each in TERMINAL})
        self._check(before, step, [each for each in self.checks if each not in ON_ANSWER])

    def expires_first(self, verb: str) -> bool:
        """Whether what is late is ended in a step of its own."""
        return verb not in ("claim", "expire") and bool(self.reference.late())

    async def take(self, step: Step) -> None:
        """Do it.

        What it sent back to wait may have been to start before now: a timer of the store's ends
        that at any turn, also while the store is looked at. It is ended at once.
        """
        await getattr(self, step.verb)(step)
        if step.verb in ("settle", "reap", "lapse") and self.reference.late():
            await getattr(self, "expire")(step)  # noqa: B009  # a verb, of a subclass

    async def _look(self) -> Shown:
        """What the store shows to the first process."""
        size, whole = self.rng.choice((2, 100)), self.rng.random() < 0.3
        return await look(self.store, self.clock(), size, whole=whole)

    async def _parents(self) -> list[tuple[Any, Any]]:
        """The parents of a few events, as the store lists them and as the reference does."""
        children = [row for row in self.reference.rows if row.after.parents]
        found = []
        for row in self.rng.sample(children, min(2, len(children))):
            listed = await self.store.parents(row.id, limit=self.rng.choice((1, 100)))
            shown = [(each.record.id, each.is_met) for each in listed]
            wanted = self.reference.parents(row)[: len(shown) or None]
            for at, (uid, _) in enumerate(wanted):
                if uid in row.loose and shown[at:] and shown[at][0] == uid:
                    shown[at] = wanted[at]
            found.append((shown, wanted))
        return found

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
        if step.verb in ("append", "only"):
            history.here.update(answer)
        elif step.verb == "schedule":
            history.here.update(step.given["ids"] if answer[0] else ())
        elif step.verb == "claim":
            for uid, attempt in answer:
                history.attempts[uid] = attempt
                history.outstanding[uid, attempt] = step.by
                self.tokens.append((uid, attempt))
        elif step.verb == "settle":
            for (uid, attempt, _), each in zip(step.given["settlements"], answer, strict=True):
                if each.is_recorded:
                    history.outstanding.pop((uid, attempt), None)
                    history.applied.add((uid, attempt))
        elif step.verb == "prune":
            history.here.difference_update(step.gone)
        elif step.verb == "remove":
            history.here.difference_update(step.given["ids"])
        elif step.verb == "cancel":
            asked = zip(step.given["ids"], answer, strict=True)
            ids = {uid for uid, each in asked if each is Cancelled.CLAIMED}
            history.asked |= {token for token in history.outstanding if token[0] in ids}
        elif step.verb == "retry":
            ids = set(step.given["ids"])
            history.asked = {token for token in history.asked if token[0] not in ids}
        elif step.verb == "restart":
            history.outstanding.clear()
            history.asked.clear()

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

    def immediate(self) -> ImmediatePath | None:
        """The store's immediate steps, if it has them and they shall be taken."""
        store = self.store
        return store if isinstance(store, ImmediatePath) and self.rng.random() < 0.3 else None
