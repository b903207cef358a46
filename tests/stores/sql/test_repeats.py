"""The result of an operation that is repeated, since its commit got no answer.

The first try may have been committed, and then the repetition answers as the first try would have;
or it was rolled back, and then the repetition does what was asked.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from stores.asking import bring, claim_one, end, put, record, settle
from stores.makers import STORES, Clock, Job
from stores.sql.transactions import operate, repeat

from lionpride.core import EventStatus
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.state_machine import Completion
from lionpride.stores.contract import Cancelled, Settled, Store
from lionpride.stores.sql import leases, limits, operations
from lionpride.stores.sql.claiming import ClaimRequest
from lionpride.stores.terms import Terms

S = EventStatus


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest, clock: Clock, opened: list[Store]) -> Callable[[], Store]:
    """Makes one more empty store over a database."""

    def make() -> Store:
        store = STORES[request.param](clock)
        opened.append(store)
        return store

    return make


def number_of(event: Any) -> int:
    number = event.execution.arrival
    assert number is not None
    return int(number)


async def status_of(store: Any, event: Any) -> EventStatus | None:
    (found,) = await store.get([event.id])
    return found and found.status


# -- cancel ----------------------------------------------------------------------------------------


async def test_a_repeated_cancel_returns_that_it_was_done(store: Store) -> None:
    ready, finished = await bring(store, S.PENDING), await bring(store, S.COMPLETED)
    running = await bring(store, S.PROCESSING)
    numbers = [number_of(each) for each in (ready, finished, running)]
    work = partial(operations.cancel, numbers=numbers)
    first = await operate(store, work)
    assert list(first.values()).count(Cancelled.DONE) == 1
    assert await repeat(store, work, first) == first


async def test_a_repeated_cancel_returns_the_request_that_the_worker_has_answered(
    store: Store,
) -> None:
    await put(store, 1.0)
    running = await claim_one(store, start=True)
    work = partial(operations.cancel, numbers=[number_of(running[0])])
    first = await operate(store, work)
    ended = operations.cancelled_while_waiting()
    assert (await settle(store, running, ended)).is_recorded
    assert await repeat(store, work, first) == first == {number_of(running[0]): Cancelled.CLAIMED}


async def test_a_repeated_cancel_does_not_claim_what_others_have_completed(store: Store) -> None:
    await put(store, 1.0)
    running = await claim_one(store, start=True)
    number = number_of(running[0])
    work = partial(operations.cancel, numbers=[number])
    first = await operate(store, work)
    await settle(store, running, Completion("done", 0.1))
    assert await repeat(store, work, first) == {number: Cancelled.SETTLED}


async def test_a_cancel_whose_first_try_was_rolled_back_is_done(store: Store) -> None:
    ready = await bring(store, S.PENDING)
    number = number_of(ready)
    work = partial(operations.cancel, numbers=[number])
    assert await repeat(store, work, {number: Cancelled.DONE}) == {number: Cancelled.DONE}
    assert await status_of(store, ready) is S.CANCELLED


# -- retry -----------------------------------------------------------------------------------------


async def test_a_repeated_retry_leaves_what_has_failed_again(store: Store) -> None:
    failed = await bring(store, S.FAILED)
    work = partial(operations.retry, numbers=[number_of(failed)])
    first = await operate(store, work)
    assert await status_of(store, failed) is S.PENDING
    again = await end(store, S.FAILED)
    assert again[1] == 2
    assert await repeat(store, work, first) == first
    assert await status_of(store, failed) is S.FAILED
    assert (await record(store, failed)).attempt == 2


async def test_a_retry_whose_first_try_was_rolled_back_is_done(store: Store) -> None:
    failed = await bring(store, S.FAILED)
    number = number_of(failed)
    ended = (await record(store, failed)).ended
    assert ended is not None
    first = {number: operations.EndedRow(1, ended)}
    work = partial(operations.retry, numbers=[number])
    assert await repeat(store, work, first) == first
    assert await status_of(store, failed) is S.PENDING


# -- remove, prune, retain -------------------------------------------------------------------------


async def test_a_repeated_removal_finds_nothing_to_remove(store: Store) -> None:
    numbers = [number_of(await bring(store, status)) for status in (S.PENDING, S.COMPLETED)]
    work = partial(operations.remove, numbers=numbers)
    first = await operate(store, work)
    assert await repeat(store, work, first) == first == set(numbers)
    assert await store.list_records() == []


async def test_a_removal_whose_first_try_was_rolled_back_is_done(store: Store) -> None:
    number = number_of(await bring(store, S.COMPLETED))
    work = partial(operations.remove, numbers=[number])
    assert await repeat(store, work, frozenset([number])) == {number}
    assert await store.list_records() == []


@pytest.mark.parametrize(
    "work",
    [
        partial(operations.prune, statuses=["completed"], limit=2),
        partial(operations.retain, keep=2, age=None, limit=9),
    ],
    ids=["prune", "retain"],
)
async def test_a_repeated_prune_removes_no_more(work: Any, store: Store) -> None:
    numbers = [number_of(await bring(store, S.COMPLETED)) for _ in range(4)]
    first = await operate(store, work)
    assert first == numbers[:2]
    assert await repeat(store, work, first) == first
    assert len(await store.list_records()) == 2


async def test_a_prune_whose_first_try_was_rolled_back_is_done(store: Store) -> None:
    numbers = [number_of(await bring(store, S.COMPLETED)) for _ in range(4)]
    work = partial(operations.prune, statuses=["completed"], limit=2)
    assert await repeat(store, work, numbers[:2]) == numbers[:2]
    assert len(await store.list_records()) == 2


async def test_a_prune_breaks_ties_by_arrival(store: Store) -> None:
    """Events that finish in one batch may finish at the same time."""
    jobs = [await bring(store, S.COMPLETED) for _ in range(3)]
    records = [await record(store, job) for job in jobs]
    copies = [replace(one, ended=5.0) for one in records]
    await store.remove(jobs)
    await store.import_records(copies)
    numbers = [one.number for one in await store.list_records()]
    work = partial(operations.prune, statuses=["completed"], limit=2)
    assert await operate(store, work) == numbers[:2]


# -- expire ----------------------------------------------------------------------------------------


async def test_a_repeated_expiry_returns_what_the_first_try_has_finished(
    store: Store, clock: Clock
) -> None:
    job = Job()
    await store.append([(job, 1.0)], terms=Terms(expires=clock.now + 5.0))
    clock.advance(6.0)
    first = await operate(store, operations.expire)
    assert first.numbers == [number_of(job)]
    assert await repeat(store, operations.expire, first) == first


# -- settle ----------------------------------------------------------------------------------------


def settlement(event: Any, attempt: int, status: str) -> Any:
    """The row of an outcome."""
    state = (attempt, 0, 0, 0, 0.1, None, None, None, None)
    return number_of(event), attempt, status, 0.0, 0.0, 1.0, state


@pytest.mark.parametrize("status", ["completed", "pending"])
async def test_a_repeated_settlement_returns_that_it_was_applied(status: str, store: Store) -> None:
    await put(store, 1.0)
    row = settlement(*await claim_one(store, start=True), status)
    work = partial(operations.settle, settlings=[row])
    assert await operate(store, work) == [Settled.APPLIED]
    assert await repeat(store, work, [Settled.APPLIED]) == [Settled.APPLIED]
    assert await operate(store, work) == [Settled.REPLAYED]


async def test_a_repeated_settlement_returns_that_the_event_was_cancelled(store: Store) -> None:
    await put(store, 1.0)
    running = await claim_one(store, start=True)
    await store.cancel([running[0]])
    work = partial(operations.settle, settlings=[settlement(*running, "pending")])
    assert await operate(store, work) == [Settled.CANCELLED]
    assert await repeat(store, work, [Settled.CANCELLED]) == [Settled.CANCELLED]


async def test_a_repeated_registration_changes_nothing(store: Store) -> None:
    work = partial(leases.register_worker, worker="w", seconds=10.0, description=None)
    for _ in range(2):
        await operate(store, work)
    found = await store.workers()
    assert [one.name for one in found] == ["w"]
    for _ in range(2):
        await operate(store, partial(leases.unregister_worker, worker="w"))
    assert await store.workers() == []


# -- limits ----------------------------------------------------------------------------------------


class Call(Job):
    """A job that costs tokens."""

    @property
    def costs(self) -> dict[str, float]:
        return {"tokens": 10}


async def test_a_repeated_change_of_costs_is_made_once(store: Store) -> None:
    under = Limits([Limit("tokens", 100, per=60.0)])
    await store.append([(Call(), 1.0)])
    ((event, attempt),), _ = await store.claim("worker", 1, start=True, limits=under)
    spend = limits.Spend(
        number_of(event), attempt, 1, back=[], more=[("tokens", 60.0, 1_000.0, 7.0)], reserved={}
    )
    for _ in range(2):
        await operate(store, partial(limits.change_usage, change=spend))
    (room,) = await store.limit_usage(under)
    assert room.used == 17.0


async def test_a_repeated_start_counts_once(store: Store) -> None:
    under = Limits([Limit("tokens", 100, per=60.0)])
    await store.append([(Call(), 1.0)])
    ((event, attempt),), _ = await store.claim("worker", 1, limits=under)
    begin = limits.Begin(number_of(event), attempt, 1_000.0)
    for _ in range(2):
        await operate(store, partial(limits.change_usage, change=begin))
    (room,) = await store.limit_usage(under)
    assert room.used == 10.0


async def test_a_repeated_claim_under_limits_claims_other_events(store: Store) -> None:
    """Those of the lost commit stay leased, and count, until they are reaped."""
    under = Limits([Limit("slots", 3)])
    await put(store, *[1.0] * 4)
    request = ClaimRequest(
        worker="worker",
        size=2,
        seconds=10.0,
        until=None,
        skip=(),
        denied=False,
        start=True,
        limits=under,
        runs=lambda kind: True,
        excluded=frozenset(),
    )
    work = partial(limits.claim_within_limits, request=request)
    first, second = await operate(store, work), await operate(store, work)
    numbers = [[row.number for row in each.rows] for each in (first, second)]
    assert [len(each) for each in numbers] == [2, 1]
    assert not set(numbers[0]) & set(numbers[1])
