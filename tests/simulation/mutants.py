"""Stores with one fault each, made of a sound store and the verbs of the contract.

Each is named for its fault, and says which invariant it breaks. A suite that does not catch them
is no suite.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar
from uuid import UUID, uuid4

from simulation.wrapped import Wrapped

from lionpride.errors import ExistsError
from lionpride.model.after import After
from lionpride.model.event_data import EventData
from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.model.recurrence import Every
from lionpride.model.schedule import Schedule
from lionpride.rules.state_machine import RELEASED, Ending, Outcome
from lionpride.stores.contract import (
    NO_PARENTS,
    Cancelled,
    Claim,
    Entry,
    Named,
    Settled,
    Settlement,
    Store,
)
from lionpride.stores.record import Record
from lionpride.stores.schedule_record import ScheduleRecord
from lionpride.stores.terms import Terms

S = EventStatus


class Mutant(Wrapped):
    """One with a fault.

    Attributes:
        breaks: The invariants that its fault breaks.
    """

    breaks: ClassVar[tuple[str, ...]] = ()


MUTANTS: list[type[Mutant]] = []


def planted(*breaks: str) -> Any:
    """Enter a mutant, with the invariants that it breaks."""

    def enter(kind: type[Mutant]) -> type[Mutant]:
        kind.breaks = breaks
        MUTANTS.append(kind)
        return kind

    return enter


# -- settling --------------------------------------------------------------------------------------


@planted("F2", "F3")
class GuardsById(Mutant):
    """A settlement is taken from whoever has the event, in whatever attempt."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        return await self.inner.settle([(e, e.execution.attempt, o) for e, _, o in settlements])


@planted("F2")
class GuardsByStatus(Mutant):
    """A settlement is taken while the event is processing, whoever it comes from."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        claimed = {event.id for event, attempt, _ in settlements if await self._is_claimed(event)}
        now = [
            (event, event.execution.attempt if event.id in claimed else attempt, outcome)
            for event, attempt, outcome in settlements
        ]
        return await self.inner.settle(now)

    async def _is_claimed(self, event: EventData) -> bool:
        (record,) = await self.inner.get([event.id])
        return record is not None and record.status is S.PROCESSING


@planted("F2")
class OverwritesWhatHasEnded(Mutant):
    """A late worker's result is written over the one on record."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        answers = await self.inner.settle(settlements)
        for (event, _, outcome), answer in zip(settlements, answers, strict=True):
            late = answer is not Settled.APPLIED and event.status is S.COMPLETED
            if late and outcome.status is not S.PENDING:
                event.execution.response = outcome.error
        return answers


@planted("S3", "F2")
class RevivesWhatHasEnded(Mutant):
    """A late release sends an ended event back to wait."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        answers = await self.inner.settle(settlements)
        for (event, _, outcome), answer in zip(settlements, answers, strict=True):
            ended = event.status in TERMINAL and event.execution.arrival is not None
            if answer is Settled.FENCED and ended and outcome.status is S.PENDING:
                priority = event.execution.priority or 0.0
                await self.inner.remove([event])
                event.status = S.PENDING
                await self.inner.append([(event, priority)])
        return answers


@planted("F3")
class AppliesAReplay(Mutant):
    """A replay is answered as if it had been the first."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        answers = await self.inner.settle(settlements)
        return [Settled.APPLIED if each is Settled.REPLAYED else each for each in answers]


@planted("F5")
class InterruptionsAreTries(Mutant):
    """A shutdown uses up a try."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        return await self.inner.settle(
            [(event, attempt, self._counted(outcome)) for event, attempt, outcome in settlements]
        )

    def _counted(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Ending) and outcome.interruptions:
            outcome = copy(outcome)
            outcome.tries += 1
        return outcome


@planted("X1", "P1")
class ForgetsTheDelay(Mutant):
    """What was denied may be claimed again at once."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        return await self.inner.settle(
            [(event, attempt, self._at_once(outcome)) for event, attempt, outcome in settlements]
        )

    def _at_once(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Ending) and outcome.delay:
            outcome = copy(outcome)
            outcome.delay = None
        return outcome


@planted("P2")
class ReleasesToTheBack(Mutant):
    """What is released has lost its place among its equals."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        answers = await self.inner.settle(settlements)
        for (event, _, outcome), answer in zip(settlements, answers, strict=True):
            if answer is Settled.APPLIED and outcome is RELEASED:
                priority = event.execution.priority or 0.0
                await self.inner.remove([event])
                await self.inner.append([(event, priority)])
        return answers


# -- claiming --------------------------------------------------------------------------------------


class ClaimMutant(Mutant):
    """One whose fault is in its claims: it spoils them, or ignores an argument."""

    ignores: ClassVar[str] = ""

    async def claim(self, worker: str, n: int = 1, **how: Any) -> tuple[list[Claim], float | None]:
        how.pop(self.ignores, None)
        claims, wait = await self.inner.claim(worker, n, **how)
        return await self.spoil(claims, n), wait

    async def spoil(self, claims: list[Claim], n: int) -> list[Claim]:
        return claims


@planted("F1")
class NoNewAttempt(ClaimMutant):
    """A claim does not count as an attempt of its own."""

    async def spoil(self, claims: list[Claim], n: int) -> list[Claim]:
        for event, attempt in claims:
            event.execution.attempt = max(1, attempt - 1)
        return [(event, event.execution.attempt) for event, _ in claims]


@planted("F4")
class ClaimsTwice(ClaimMutant):
    """Two callers get one event."""

    last: Claim | None = None

    async def spoil(self, claims: list[Claim], n: int) -> list[Claim]:
        if not claims and n and self.last is not None:
            (now,) = await self.inner.get([self.last[0].id])
            token = now and (now.status, now.attempt)
            return [self.last] if token == (S.PROCESSING, self.last[1]) else []
        self.last = claims[-1] if claims else self.last
        return claims


@planted("P1")
class IgnoresPriority(ClaimMutant):
    """A claim is in order of arrival."""

    async def spoil(self, claims: list[Claim], n: int) -> list[Claim]:
        return sorted(claims, key=lambda claim: claim[0].execution.arrival or 0)


@planted("P1")
class LeavesOutTheFirst(ClaimMutant):
    """A claim of several leaves out the one that comes first."""

    async def spoil(self, claims: list[Claim], n: int) -> list[Claim]:
        if len(claims) < 2 or claims[0][0].status is S.PROCESSING:
            return claims
        await self.inner.settle([(*claims[0], RELEASED)])
        return claims[1:]


@planted("P1")
class IgnoresUntil(ClaimMutant):
    """A round takes what came after it had begun."""

    ignores = "until"


@planted("P1")
class IgnoresSkip(ClaimMutant):
    """A round takes again what it has had."""

    ignores = "skip"


@planted("P1")
class WaitsOutDenials(ClaimMutant):
    """A round does not take what waits out a denial."""

    ignores = "denied"


# -- by hand ---------------------------------------------------------------------------------------


@planted("C4")
class CancelsWhatIsClaimed(Mutant):
    """A cancel ends what a worker has, behind its back."""

    async def cancel(self, events: Sequence[EventData], **how: Any) -> list[Cancelled]:
        answers = await self.inner.cancel(events, **how)
        for event, answer in zip(events, answers, strict=True):
            if answer is Cancelled.CLAIMED:
                end = Ending(S.CANCELLED, retryable=True)
                await self.inner.settle([(event, event.execution.attempt, end)])
        return answers


@planted("C5", "X1")
class ForgetsACancel(Mutant):
    """The cancel of a claimed event is answered, and the request is not kept."""

    async def cancel(self, events: Sequence[Any], **how: Any) -> list[Cancelled]:
        ids = [each if isinstance(each, UUID) else each.id for each in events]
        found = await self.inner.get(ids)
        claimed = {each.id for each in found if each is not None and each.status is S.PROCESSING}
        rest = [each for each, uid in zip(events, ids, strict=True) if uid not in claimed]
        answers = iter(await self.inner.cancel(rest, **how))
        return [Cancelled.CLAIMED if uid in claimed else next(answers) for uid in ids]


@planted("X1")
class RequeueKeepsDenials(Mutant):
    """A retry by hand begins with the denials of the life before."""

    async def retry(self, events: Sequence[EventData], **how: Any) -> None:
        denials = [event.execution.denials for event in events]
        await self.inner.retry(events, **how)
        for event, count in zip(events, denials, strict=True):
            event.execution.denials = count


@planted("S1")
class PruneLeavesTheListing(Mutant):
    """What has been pruned is still listed."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.ghosts: list[Record] = []

    async def prune(self, statuses: Collection[EventStatus], **how: Any) -> list[EventData]:
        before = await self.inner.list_records(limit=1000)
        pruned = await self.inner.prune(statuses, **how)
        gone = {event.id for event in pruned}
        self.ghosts += [record for record in before if record.id in gone]
        return pruned

    async def list_records(
        self, status: EventStatus | None = None, *, after: int | None = None, limit: int = 100
    ) -> list[Record]:
        page = await self.inner.list_records(status, after=after, limit=1000)
        lower = after or 0
        page += [
            each for each in self.ghosts if each.number > lower and status in (None, each.status)
        ]
        return sorted(page, key=lambda record: record.number)[:limit]


@planted("S1")
class PruneForgetsTheLast(Mutant):
    """One of those that it says it has pruned is still there."""

    async def prune(self, statuses: Collection[EventStatus], **how: Any) -> list[EventData]:
        pruned = await self.inner.prune(statuses, **how)
        if pruned:
            await self.inner.load(pruned[-1:])
        return pruned


@planted("S2")
class CountsDrift(Mutant):
    """Each replay is counted as one more."""

    drift = 0

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        answers = await self.inner.settle(settlements)
        self.drift += answers.count(Settled.REPLAYED)
        return answers

    async def counts(self) -> dict[EventStatus, int]:
        counts = await self.inner.counts()
        return counts | {S.COMPLETED: counts[S.COMPLETED] + self.drift}


@planted("S2")
class CountsWhatIsShown(Mutant):
    """What is claimed and has not started is counted as pending."""

    async def counts(self) -> dict[EventStatus, int]:
        return {status: len(self.inner.states.of(status)) for status in EventStatus}


# -- taking in -------------------------------------------------------------------------------------


@planted("A1")
class AppendOverwrites(Mutant):
    """An id that is known is appended anew."""

    async def append(self, entries: Sequence[Entry], **how: Any) -> list[EventData]:
        for event, priority in entries:
            waits = event.status is S.PENDING and event.execution.arrival is not None
            if how.get("exist_ok") and waits and await self._is_free(event):
                await self.inner.remove([event])
                await self.inner.append([(event, priority + 1.0)])
        return await self.inner.append(entries, **how)

    async def _is_free(self, event: EventData) -> bool:
        (record,) = await self.inner.get([event.id])
        return record is not None and record.status is S.PENDING


@planted("A1")
class AppendsTheFirstHalf(Mutant):
    """A batch that is refused leaves orphans."""

    async def append(self, entries: Sequence[Entry], **how: Any) -> list[EventData]:
        try:
            return await self.inner.append(entries, **how)
        except ExistsError:
            known: Iterable[UUID] = [event.id for event in self.inner.states.items]
            if entries[0][0].id not in known:
                await self.inner.append(entries[:1])
            raise


@planted("D3")
class RestartForgetsDenials(Mutant):
    """What is restored may be denied from the beginning."""

    async def load(self, events: Sequence[EventData]) -> int:
        for event in events:
            event.execution.denials = 0
        return await self.inner.load(events)


@planted("D3")
class RestartForgetsInterruptions(Mutant):
    """What ran when the process died has nothing of it on record."""

    async def load(self, events: Sequence[EventData]) -> int:
        for event in events:
            if event.status is S.PROCESSING:
                event.status = S.PENDING
        return await self.inner.load(events)


# -- terms -----------------------------------------------------------------------------------------


class Appends(Mutant):
    """One whose fault is in the terms of an append."""

    async def append(
        self, entries: Sequence[Entry], *, terms: Terms | None = None, **how: Any
    ) -> list[EventData]:
        terms = None if terms is None else self.changed(terms)
        return await self.inner.append(entries, terms=terms, **how)

    def changed(self, terms: Terms) -> Terms:
        raise NotImplementedError


@planted("X1")
class HasAllTheTime(Appends):
    """What has to start by some time is started whenever it may be."""

    def changed(self, terms: Terms) -> Terms:
        return terms._replace(expires=None)


@planted("P1")
class IsLateTooLate(Appends):
    """What expires does so a little later, and may have been claimed by then."""

    def changed(self, terms: Terms) -> Terms:
        return terms._replace(expires=terms.expires and terms.expires + 1.0)


@planted("X1")
class TakesWhatIsThere(Appends):
    """Nothing stands for what is to be appended under its value."""

    def changed(self, terms: Terms) -> Terms:
        return terms._replace(unique=None)


@planted("X1")
class ForgetsThePeriod(Appends):
    """What has ended stands for nothing, however short ago it was appended."""

    def changed(self, terms: Terms) -> Terms:
        return terms._replace(period=0.0)


# -- parents and children --------------------------------------------------------------------------


class Childless(Mutant):
    """One that forgets, in one verb, which events have children."""

    async def without_children(self, verb: Any, *given: Any, **how: Any) -> Any:
        inner: Any = self.inner
        kept, inner._children = inner._children, {}
        try:
            return await verb(*given, **how)
        finally:
            inner._children = kept


@planted("X1")
class SettlesWithoutChildren(Childless):
    """The end of an attempt neither releases nor cancels a child."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        answers: list[Settled] = await self.without_children(self.inner.settle, settlements)
        return answers


@planted("X1")
class CancelsWithoutChildren(Childless):
    """The cancel of a parent neither releases nor cancels a child."""

    async def cancel(self, events: Sequence[Named], **how: Any) -> list[Cancelled]:
        answers: list[Cancelled] = await self.without_children(self.inner.cancel, events, **how)
        return answers


@planted("X1")
class RetriesWithoutChildren(Childless):
    """What was cancelled for a parent stays so when that is retried."""

    async def retry(self, events: Sequence[Named], **how: Any) -> None:
        await self.without_children(self.inner.retry, events, **how)


@planted("X1")
class PrunesParents(Childless):
    """The parents of unfinished events are pruned as any others."""

    async def prune(self, statuses: Collection[EventStatus], **how: Any) -> list[EventData]:
        pruned: list[EventData] = await self.without_children(self.inner.prune, statuses, **how)
        return pruned


@planted("X1")
class ExpiresWithoutChildren(Childless):
    """What was not started in time leaves its children waiting."""

    async def claim(self, worker: str, n: int = 1, **how: Any) -> tuple[list[Claim], float | None]:
        found: tuple[list[Claim], float | None] = await self.without_children(
            self.inner.claim, worker, n, **how
        )
        return found


class OtherParents(Mutant):
    """One whose fault is in the parents of an append."""

    async def append(
        self, entries: Sequence[Entry], *, after: Mapping[UUID, After] = NO_PARENTS, **how: Any
    ) -> list[EventData]:
        changed = {uid: self.changed(each) for uid, each in after.items()}
        return await self.inner.append(entries, after=changed, **how)

    def changed(self, after: After) -> After:
        raise NotImplementedError


@planted("X1")
class WaitsForTheFirstParent(OtherParents):
    """A child does not wait for all of its parents."""

    def changed(self, after: After) -> After:
        return after._replace(parents=after.parents[:1])


@planted("X1", "P1")
class WaitsForAnyEnd(OtherParents):
    """A child is released however its parents end."""

    def changed(self, after: After) -> After:
        return after._replace(when="finished")


@planted("X1")
class RestartForgetsParents(Mutant):
    """What was blocked may start after a restart."""

    async def load(self, events: Sequence[EventData]) -> int:
        for event in events:
            if event.execution.is_blocked:
                event.execution.due = None
        return await self.inner.load(events)


# -- schedules -------------------------------------------------------------------------------------


@planted("X1")
class ReplacesAnySchedule(Mutant):
    """A schedule is replaced although it has changed meanwhile."""

    async def change_schedule(
        self, old: ScheduleRecord | None, new: ScheduleRecord | None, **how: Any
    ) -> bool:
        name = (new or old).name  # type: ignore[union-attr]
        stored = {each.name: each for each in await self.inner.schedules()}
        return await self.inner.change_schedule(stored.get(name), new or old, **how)


@planted("S1", "X1")
class AppendsWithoutTheSchedule(Mutant):
    """The events of a schedule are appended although it is not replaced."""

    async def change_schedule(
        self,
        old: ScheduleRecord | None,
        new: ScheduleRecord | None,
        *,
        events: Sequence[Record] = (),
        **how: Any,
    ) -> bool:
        scratch = ScheduleRecord("scratch", uuid4(), "kind", {}, Schedule(Every(60)), None)
        await self.inner.change_schedule(None, scratch, events=events, **how)
        await self.inner.change_schedule(scratch, None)
        return await self.inner.change_schedule(old, new)


@planted("X1")
class ForgetsTheEventsOfASchedule(Mutant):
    """A schedule is replaced, and its events are not appended."""

    async def change_schedule(
        self, old: ScheduleRecord | None, new: ScheduleRecord | None, **how: Any
    ) -> bool:
        return await self.inner.change_schedule(old, new)
