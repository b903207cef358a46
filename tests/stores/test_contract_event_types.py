"""Events of types that a process does not run stay pending, and are reported, on every store."""

import asyncio
import logging
from typing import Any

import pytest
from stores.asking import check_counts, claim, finish_expired, record
from stores.makers import Clock, Job, beside

from lionpride.core import Event, Executor
from lionpride.errors import OperationError
from lionpride.model.event_data import EventData
from lionpride.model.execution import EventStatus
from lionpride.model.registry import key_of
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.queue_position import About
from lionpride.rules.state_machine import Completion
from lionpride.stores.contract import Store
from lionpride.stores.listeners import Signal
from lionpride.stores.terms import Terms

S = EventStatus


class Other(EventData):
    """An event type that the process does not run."""


class Step(Event):
    async def _invoke(self) -> str:
        return "done"


class Skipped(Event):
    async def _invoke(self) -> str:
        return "never"


@pytest.fixture
def runs_jobs(store: Store, clock: Clock, opened: list[Store]) -> Store:
    """A store of a process that runs only jobs, over the events of ``store``."""
    other = beside(store, clock, opened)
    other.event_types.run_only([Job])
    return other


async def put(store: Store, *events: EventData, **terms: Any) -> None:
    await store.append(
        [(event, float(at)) for at, event in enumerate(events)],
        terms=Terms(**terms) if terms else None,
    )


async def claim_none(store: Store) -> None:
    """Claim, get no event, and wait until none is claimed: a release may be under way."""
    assert await claim(store, 9) == []
    while (await store.counts())[S.PROCESSING]:
        await asyncio.sleep(0)


WAYS: list[dict[str, Any]] = [
    {},
    {"start": True},
    {"until": 99},
    {"skip": [99]},
    {"denied": True},
    {"limits": Limits([Limit("requests", 100, per=60)])},
]


@pytest.mark.parametrize("how", WAYS, ids=lambda how: "".join(how) or "plain")
async def test_a_claim_of_any_kind_leaves_them_pending(
    store: Store, runs_jobs: Store, how: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await put(store, Other(), Job(label="a"), Other(), Job(label="b"))
    with caplog.at_level(logging.WARNING, "lionpride"):
        events = [event for _ in range(3) for event, _ in await claim(runs_jobs, 9, **how)]
    assert [event.label if isinstance(event, Job) else None for event in events] == ["a", "b"]
    counts = await runs_jobs.counts()
    assert (counts[S.PENDING], counts[S.PROCESSING]) == (2, 2)
    assert runs_jobs.event_types.missing == {key_of(Other)}
    (said,) = [text for text in caplog.messages if "stay pending for another worker" in text]
    assert "name it in Executor.of(...)" in said
    await check_counts(runs_jobs)


async def test_a_process_that_runs_them_later_claims_them_in_order(
    store: Store, runs_jobs: Store
) -> None:
    await put(store, Other(), Job(), Other())
    assert len(await claim(runs_jobs, 9)) == 1
    rung = asyncio.Event()
    runs_jobs.subscribe(Signal.READY, rung.set, once=True)
    runs_jobs.event_types.run_only([Other])
    claims = await claim(runs_jobs, 9)
    assert [(type(event), event.execution.arrival) for event, _ in claims] == [
        (Other, 1),
        (Other, 3),
    ]
    assert runs_jobs.event_types.missing == set()


async def test_a_subclass_is_run_too(store: Store, runs_jobs: Store) -> None:
    class Child(Job):
        pass

    await put(store, Child(label="child"))
    assert runs_jobs.event_types.runs(key_of(Child))
    assert not runs_jobs.event_types.runs(key_of(Other))
    assert len(await claim(runs_jobs, 9)) == 1


@pytest.mark.parametrize("met", [True, False], ids=["met by a claim", "not met"])
async def test_they_can_be_cancelled_retried_and_removed(
    store: Store, runs_jobs: Store, met: bool
) -> None:
    other = Other()
    await put(store, other)
    if met:
        await claim_none(runs_jobs)
    await runs_jobs.cancel([other.id])
    assert (await record(runs_jobs, other)).status is S.CANCELLED
    await runs_jobs.retry([other.id])
    await claim_none(runs_jobs)
    assert (await record(runs_jobs, other)).status is S.PENDING
    await runs_jobs.cancel([other.id])
    await runs_jobs.retry([other.id])
    await claim_none(runs_jobs)
    await runs_jobs.remove([other.id])
    await put(store, Other())
    await claim_none(runs_jobs)
    runs_jobs.event_types.run_only([Other])
    assert len(await claim(runs_jobs, 9)) == 1
    await check_counts(runs_jobs)


async def test_they_expire_and_become_due(store: Store, runs_jobs: Store, clock: Clock) -> None:
    late, due = Other(), Other()
    await put(store, late, expires=clock.now + 5.0)
    await put(store, due, due=clock.now + 5.0)
    await claim_none(runs_jobs)
    clock.advance(6.0)
    await finish_expired(runs_jobs)
    assert (await record(runs_jobs, late)).status is S.CANCELLED
    await claim_none(runs_jobs)
    assert (await record(runs_jobs, due)).status is S.PENDING
    await check_counts(runs_jobs)


async def test_what_no_worker_runs_is_stuck(store: Store, runs_jobs: Store, clock: Clock) -> None:
    await put(store, Other(), Job(), Other())
    assert await runs_jobs.stuck() == []
    runs_jobs.register_worker("worker", lambda event: None, lambda: About(1))
    ((job, attempt),) = await claim(runs_jobs, 9, start=True)
    assert await runs_jobs.settle([(job, attempt, Completion(None, 0.1))])
    (stuck,) = await runs_jobs.stuck()
    assert (stuck.kind, stuck.total, stuck.unreadable) == (key_of(Other), 2, None)
    (worker,) = await runs_jobs.workers()
    assert worker.about is not None
    assert worker.about.missing == (key_of(Other),)
    await put(store, Job(), due=clock.now + 60.0)
    assert await runs_jobs.stuck() == [], "an event that can be run is scheduled"
    runs_jobs.unregister_worker("worker")


async def test_join_reports_them(store: Store, clock: Clock, opened: list[Store]) -> None:
    await put(store, Step(), Skipped())
    executor = Executor.of(Step, store=beside(store, clock, opened))
    async with executor:
        with pytest.raises(OperationError, match=r"1 event is pending.*no worker runs.*Skipped"):
            await executor.join()
    counts = await executor.store.counts()
    assert (counts[S.PENDING], counts[S.COMPLETED]) == (1, 1)
