"""What holds of the store in memory alone: it never waits, and it keeps nothing that is gone."""

import asyncio
import gc
import tracemalloc
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest
from pydantic import create_model
from stores.asking import ENDINGS, bring, claim, claim_one, put, record, settle
from stores.makers import Clock, Job

from lionpride.errors import OperationError
from lionpride.model.after import After
from lionpride.model.event_data import EventData
from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.state_machine import RELEASED, Completion, Ending, after_denial
from lionpride.stores.contract import ImmediatePath, Settled, Store
from lionpride.stores.listeners import Signal
from lionpride.stores.memory import MemoryStore

S = EventStatus


@pytest.fixture
def memory(clock: Clock) -> MemoryStore:
    return MemoryStore("questions", clock=clock)


# -- never waiting ---------------------------------------------------------------------------------


def at_once(step: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that never waits."""
    with pytest.raises(StopIteration) as stop:
        step.send(None)
    return stop.value.value


def test_no_verb_ever_waits(memory: MemoryStore) -> None:
    jobs = [Job(), Job(), Job()]
    at_once(memory.append([(job, 1.0) for job in jobs]))
    ((one, two), _) = at_once(memory.claim("worker", 2, start=True))
    assert at_once(memory.settle([(*one, ENDINGS[S.FAILED]), (*two, RELEASED)]))
    assert at_once(memory.reap()) == 0
    at_once(memory.retry([one[0]]))
    at_once(memory.cancel([one[0]]))
    assert len(at_once(memory.prune([S.CANCELLED]))) == 1
    at_once(memory.remove([two[0]]))
    assert at_once(memory.load([Job()])) == 1
    assert at_once(memory.counts())[S.PENDING] == 2
    assert len(at_once(memory.list_records())) == 2
    assert at_once(memory.get([jobs[2].id]))[0].id == jobs[2].id
    at_once(memory.close())


# -- the immediate steps ---------------------------------------------------------------------------


def test_it_offers_immediate_steps(memory: MemoryStore) -> None:
    assert isinstance(memory, ImmediatePath)


async def test_append_now_takes_what_is_certainly_new(memory: MemoryStore) -> None:
    first, second = Job(), Job()
    assert memory.append_now(first, 2.0)
    assert memory.append_now(second, 1.0)
    assert [event for event, _ in await claim(memory, 2)] == [second, first]
    assert (await record(memory, first)).priority == 2.0


async def test_a_ready_listener_is_called_once_between_two_claims(
    memory: MemoryStore,
) -> None:
    rung = list[int]()

    def bell() -> None:
        rung.append(len(memory.states.lane(S.PENDING)))

    unsubscribe = memory.subscribe(Signal.READY, bell)
    for priority in (2.0, 1.0):
        assert memory.append_now(Job(), priority)
    assert rung == [1]
    assert memory.claim_now() is not None  # it has seen both
    assert memory.append_now(Job(), 3.0)
    assert rung == [1, 2]
    for pending in (2, 1):
        assert memory.claim_now() is not None
        assert len(memory.states.lane(S.PENDING)) == pending - 1
    assert memory.claim_now() is None
    assert memory.append_now(Job(), 1.0)
    assert memory.append_all_now([Job(), Job()], [1.0, 1.0])
    await memory.append([(Job(), 1.0)])
    assert rung == [1, 2, 1, 3, 4]
    unsubscribe()
    await memory.append([(Job(), 1.0)])
    assert len(rung) == 5


async def test_append_now_leaves_the_rest_to_append(memory: MemoryStore) -> None:
    (held,) = await put(memory, 1.0)
    ended, named = Job(), Job()
    ended.status = S.FAILED
    _ = named.id  # asked for, so that it may be known elsewhere
    for event in (held, ended, named, Job(id=held.id)):
        assert not memory.append_now(event, 1.0)
    assert (await memory.counts())[S.PENDING] == 1
    assert await memory.last_arrival() == 1
    assert ended.execution.arrival is None
    assert named.execution.arrival is None


async def test_append_all_now_takes_all_that_are_new_or_none(memory: MemoryStore) -> None:
    jobs = [Job(label=str(n)) for n in range(4)]
    assert memory.append_all_now(jobs[:3], [2.0, 1.0, 2.0])
    assert [job.execution.arrival for job in jobs[:3]] == [1, 2, 3]
    assert [job.execution.priority for job in jobs[:3]] == [2.0, 1.0, 2.0]
    known = Job()
    _ = known.id
    for other in (jobs[0], jobs[3], known):  # held; there twice; of a known id
        assert not memory.append_all_now([jobs[3], other], [0.0, 0.0])
    assert memory.append_all_now([], [])
    assert jobs[3].execution.arrival is None
    assert [event.label for event, _ in await claim(memory, 9)] == ["1", "0", "2"]  # type: ignore[attr-defined]


async def test_claim_now_is_a_claim_that_starts(memory: MemoryStore, clock: Clock) -> None:
    assert memory.claim_now() is None
    jobs = await put(memory, 2.0, 1.0)
    assert memory.claim_now() == (jobs[1], 1, vars(jobs[1]))
    assert jobs[1].status is S.PROCESSING
    await settle(memory, (jobs[1], 1), Ending(S.PENDING, delay=5.0))
    assert memory.claim_now() == (jobs[0], 1, vars(jobs[0]))
    assert memory.claim_now() is None
    clock.advance(5.0)
    assert memory.claim_now() == (jobs[1], 2, vars(jobs[1]))


async def test_settle_now_and_complete_now_answer_as_settle_does(memory: MemoryStore) -> None:
    jobs = await put(memory, 1.0, 1.0)
    one, two = await claim(memory, 2, start=True)
    assert memory.settle_now(*one, ENDINGS[S.FAILED]) is Settled.APPLIED
    assert memory.settle_now(*one, ENDINGS[S.FAILED]) is Settled.REPLAYED
    assert memory.complete_now(*one, "late", 1.0) is Settled.FENCED
    assert memory.complete_now(*two, "done", 0.5) is Settled.APPLIED
    assert memory.complete_now(*two, "again", 0.5) is Settled.REPLAYED
    assert memory.complete_now(jobs[1], 7, "never", 0.5) is Settled.FENCED
    state = jobs[1].execution
    assert (state.status, state.response, state.duration) == (S.COMPLETED, "done", 0.5)
    assert (state.error, state.retryable) == (None, False)


async def test_complete_now_clears_what_an_earlier_try_left(memory: MemoryStore) -> None:
    (job,) = await put(memory, 1.0)
    retry = Ending(S.PENDING, error=ValueError(), retryable=True, duration=1.0, tries=1)
    await settle(memory, await claim_one(memory, start=True), retry)
    event, attempt = await claim_one(memory, start=True)
    memory.complete_now(event, attempt, None, 0.5)
    assert (job.execution.error, job.execution.retryable) == (None, False)
    assert (job.execution.response, job.execution.tries) == (None, 1)


class Other(EventData):
    """An event type that the process does not run."""


async def test_the_immediate_path_leaves_event_types_pending_that_are_not_run(
    memory: MemoryStore,
) -> None:
    memory.event_types.run_only([Job])
    other, job, late = Other(), Job(), Other()
    assert memory.append_now(other, 1.0)
    assert memory.append_all_now([job, late], [2.0, 3.0])
    claimed = memory.claim_now()
    assert claimed is not None
    assert claimed[0] is job
    assert memory.complete_now(*claimed[:2], "done", 0.1) is Settled.APPLIED
    assert memory.claim_now() is None
    assert memory.append_now(Job(), 4.0)
    found = memory.claim_now(Limits([Limit("requests", 100, per=60)]))
    assert found is not None
    assert isinstance(found[0], Job)
    assert list(memory.states.of(S.PENDING)) == [other, late]


async def test_an_event_is_run_although_its_class_was_defined_again(memory: MemoryStore) -> None:
    def define() -> type[EventData]:
        return create_model("Again", __base__=EventData, __module__=__name__)

    old = define()
    await memory.append([(old(), 1.0)])
    memory.event_types.run_only([define()])
    assert len(await claim(memory)) == 1


# -- what it refuses -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", EventStatus)
async def test_only_what_is_claimed_can_start(memory: MemoryStore, status: EventStatus) -> None:
    job = await bring(memory, status)
    with pytest.raises(OperationError, match="not claimed"):
        memory.start(job)
    assert job.status is status


async def test_an_outcome_without_an_arrow_is_refused_and_the_claim_stands(
    memory: MemoryStore,
) -> None:
    await put(memory, 1.0)
    one = await claim_one(memory)
    with pytest.raises(OperationError, match="completed"):
        await settle(memory, one, Completion("done", 0.5))
    memory.start(one[0])
    with pytest.raises(OperationError, match="aborted"):
        await settle(memory, one, after_denial(2, 1.0))
    assert await settle(memory, one, RELEASED) is Settled.APPLIED


# -- its name and its clock ------------------------------------------------------------------------


def test_its_states_bear_its_name() -> None:
    assert MemoryStore("jobs").states.name == "jobs"
    assert MemoryStore("jobs", name="mine").states.name == "mine"
    assert MemoryStore().queue == "default"


@pytest.mark.virtual
async def test_without_a_clock_it_goes_by_the_loops() -> None:
    store = MemoryStore()
    await put(store, 1.0)
    await settle(store, await claim_one(store), after_denial(0, 3600.0))
    _, wait = await store.claim("worker")
    assert wait == pytest.approx(3600.0)
    await asyncio.sleep(3500)
    assert await claim(store) == []
    await asyncio.sleep(101)
    assert len(await claim(store)) == 1


# -- nothing is kept of what is gone ---------------------------------------------------------------


async def churn(store: Store, clock: Clock, count: int) -> None:
    """Events that come, are denied, cancelled, retried, end, and are let go of."""
    jobs = await put(store, *[float(n % 7) for n in range(count)])
    claims = await claim(store, count)
    await store.settle([(*one, after_denial(0, 1.0)) for one in claims])
    await store.cancel(jobs[: count // 2])
    await store.retry(jobs[: count // 2])
    await store.remove(jobs[: count // 4])
    clock.advance(2.0)
    claims = await claim(store, count)
    assert len(claims) == count - count // 4
    await store.settle([(*one, after_denial(1, 1.0)) for one in claims])
    clock.advance(2.0)
    claims = await claim(store, count, start=True)
    await store.settle([(*one, Completion(None, 0.0)) for one in claims])
    await store.prune(TERMINAL)


async def test_what_is_gone_takes_no_memory(memory: MemoryStore, clock: Clock) -> None:
    await churn(memory, clock, 200)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(20):
            await churn(memory, clock, 200)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 100_000, "25 bytes for each event that has passed"


async def test_no_reference_is_kept_to_what_is_gone(memory: MemoryStore) -> None:
    kept = await bring(memory, S.PENDING)
    gone = [weakref.ref(await bring(memory, status)) for status in TERMINAL]
    await memory.prune(TERMINAL)
    removed = await bring(memory, S.PENDING)
    await memory.remove([removed])
    gone.append(weakref.ref(removed))
    del removed
    gc.collect()
    assert [ref() for ref in gone] == [None] * len(gone)
    assert kept.status is S.PENDING


async def test_the_order_stands_after_most_of_the_queue_has_left_by_hand(
    memory: MemoryStore, clock: Clock
) -> None:
    jobs = await put(memory, *[float(n % 5) for n in range(600)])
    for one in await claim(memory, 200):
        await settle(memory, one, after_denial(0, 5.0))
    await memory.cancel([job for n, job in enumerate(jobs) if n % 3 == 0])
    await memory.remove([job for n, job in enumerate(jobs) if n % 3 == 1 and n % 2])
    left = [job for n, job in enumerate(jobs) if not (n % 3 == 0 or (n % 3 == 1 and n % 2))]
    again = [job for n, job in enumerate(jobs) if n % 9 == 0]
    await memory.retry(again)
    clock.advance(5.0)
    claims = await claim(memory, 600)

    def key(job: Any) -> tuple[float, int]:
        return job.execution.priority, job.execution.arrival

    assert [event for event, _ in claims] == sorted([*left, *again], key=key)
    assert await memory.claim("worker") == ([], None)


async def test_a_finished_child_is_loaded_without_its_parents() -> None:
    store, copy = MemoryStore(), MemoryStore()
    parents, child = [Job(), Job(), Job()], Job()
    after = {child.id: After(tuple(parent.id for parent in parents))}
    await store.append([(each, 1.0) for each in (*parents, child)], after=after)
    await store.cancel([parents[0]])
    records = [each for each in await store.get([parents[2].id, child.id]) if each is not None]
    await copy.import_records(records)
    assert (await copy.counts())[EventStatus.CANCELLED] == 1
    assert [(each.place, each.record.id) for each in await copy.parents(child.id)] == [
        (2, parents[2].id)
    ]
