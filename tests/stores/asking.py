"""What tests of the contract say again and again, in words of the contract alone."""

from typing import Any
from uuid import UUID

from stores.makers import Job

from lionpride.errors import ExecutionError, LionTimeoutError, Skip
from lionpride.model.event_data import EventData
from lionpride.model.execution import EventStatus
from lionpride.rules.state_machine import Completion, Ending, Outcome, after_denial
from lionpride.stores.contract import Claim, Settled, Store
from lionpride.stores.record import Record

S = EventStatus

ENDINGS: dict[EventStatus, Outcome] = {
    S.COMPLETED: Completion("done", 0.5),
    S.FAILED: Ending(S.FAILED, error=ExecutionError("broken"), duration=0.5, tries=1),
    S.CANCELLED: Ending(S.CANCELLED, error=LionTimeoutError("late"), duration=0.5),
    S.SKIPPED: Ending(S.SKIPPED, error=Skip("nothing to do"), retryable=False),
    S.ABORTED: after_denial(2, 1.0),
}
"""An outcome for each terminal status; ABORTED is for a claim that was never started."""


async def put(store: Store, *priorities: float) -> list[Job]:
    """Append a job for each priority; its label is its position."""
    jobs = [Job(label=str(position)) for position in range(len(priorities))]
    await store.append(list(zip(jobs, priorities, strict=True)))
    return jobs


async def claim(store: Store, n: int = 1, **how: Any) -> list[Claim]:
    """The claims alone."""
    claims, _ = await store.claim("worker", n, **how)
    return claims


async def finish_expired(store: Store) -> None:
    """Finish the events that were not started in time, as each claim does first."""
    assert await claim(store, until=0) == []


async def claim_one(store: Store, *, start: bool = False) -> Claim:
    (only,) = await claim(store, start=start)
    return only


async def settle(store: Store, one: Claim, outcome: Outcome) -> Settled:
    (answer,) = await store.settle([(*one, outcome)])
    return answer


async def end(store: Store, status: EventStatus) -> Claim:
    """Claim the next event and bring it into a terminal status."""
    one = await claim_one(store, start=status is not S.ABORTED)
    assert await settle(store, one, ENDINGS[status]) is Settled.APPLIED
    return one


async def bring(store: Store, status: EventStatus, *, started: bool = True) -> Job:
    """A new event in this status; PROCESSING is claimed, and ``started`` or not."""
    (job,) = await put(store, -1.0 - await store.last_arrival())  # before all that wait
    if status is S.PROCESSING:
        await claim_one(store, start=started)
    elif status is not S.PENDING:
        await end(store, status)
    return job


async def pages(store: Store, status: EventStatus | None = None, *, limit: int = 2) -> list[Record]:
    """All records of a status, page by page."""
    found: list[Record] = []
    while page := await store.list_records(
        status, after=found[-1].number if found else None, limit=limit
    ):
        assert len(page) <= limit
        found += page
    return found


async def record(store: Store, event: EventData) -> Record:
    """The record of an event that is here."""
    (found,) = await store.get([event.id])
    assert found is not None, f"{event!r} is not in the store"
    return found


async def listed(store: Store) -> dict[UUID, EventStatus]:
    """The status of each event, by the listings; S1: none is listed twice."""
    found: dict[UUID, EventStatus] = {}
    for status in EventStatus:
        for each in await pages(store, status):
            assert each.id not in found, f"S1: {each.id} is listed twice"
            assert each.status is status, f"S1: {each!r} is listed as {status}"
            found[each.id] = status
    return found


async def picture(store: Store) -> dict[str, Any]:
    """All that a store says of itself: equal pictures mean that nothing has changed."""
    return {
        "records": await pages(store),
        "statuses": await listed(store),
        "counts": await store.counts(),
        "shown": {event.id: event.to_dict() for event in store.states.items},
        "progressions": {each.name: each.order for each in store.states.progressions},
    }


async def check_counts(store: Store) -> None:
    """S2: counts equal listings."""
    statuses = list((await listed(store)).values())
    assert await store.counts() == {each: statuses.count(each) for each in EventStatus}
