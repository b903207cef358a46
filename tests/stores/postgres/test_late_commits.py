"""A connection is cut while the server commits: the commit comes later, and its answer never."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from rules.kit import Call
from stores.asking import ENDINGS, claim, claim_one, end, put, record, settle
from stores.homes import Home
from stores.makers import QUEUE, Clock
from stores.postgres.slow import SlowCommit, slow_commit, standby_of
from stores.postgres.test_faults import Errand, Errands, schemas
from stores.postgres.wire import Wire, wire_to

from lionpride.core import EventStatus
from lionpride.model.after import After
from lionpride.model.continuation import ContinuedBy
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.state_machine import Completion, Continued
from lionpride.stores.contract import Settled
from lionpride.stores.listeners import Signal
from lionpride.stores.postgres import PostgresStore
from tools.postgres_server import Server

S = EventStatus

pytestmark = pytest.mark.guard(60)

CLAIM = r'INSERT INTO "\w+"\."lease"'


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server whose configuration this module may change."""
    with Server() as server:
        yield server


@pytest.fixture(autouse=True)
def no_errand_has_run() -> None:
    Errand.runs.clear()


# -- claims ----------------------------------------------------------------------------------------


@pytest.mark.promise("postgres-lost-answer")
async def test_a_claim_that_is_committed_after_its_connection_was_cut_is_released(
    server: Server,
) -> None:
    schema = next(schemas)
    async with wire_to(server.url) as wire:
        store = f"{wire.url}&lionpride_schema={schema}"
        executor = Errands({"concurrency_limit": 20}, store=store)
        await executor.append_many([Errand(number=number) for number in range(60)])
        async with slow_commit(server.url, schema, "lease") as commit:
            wire.cut(CLAIM)
            async with executor:
                await commit.begun()
                assert wire.cut_off.is_set()
                while (await executor.store.counts())[S.COMPLETED] < 40:  # the others
                    await asyncio.sleep(0.01)
                await commit.let_go()
                await asyncio.wait_for(executor.join(), 20)
        records = await executor.store.list_records(limit=100)
        assert {each.status for each in records} == {S.COMPLETED}
        assert max(Errand.runs.values()) == 1
        assert sorted(each.attempt for each in records) == [1] * 40 + [2] * 20
        assert not any(each.interruptions for each in records), "they were never started"
        await executor.store.close()


@pytest.mark.promise("postgres-lost-answer")
async def test_a_claim_that_waits_for_a_standby_when_its_connection_is_cut_is_released(
    server: Server,
) -> None:
    async with wire_to(server.url) as wire, standby_of(server) as standby:
        store = f"{wire.url}&lionpride_schema={next(schemas)}"
        async with Errands({"concurrency_limit": 20}, store=store) as executor:
            await executor.append(Errand(number=0))
            await executor.join()
            wire.hold(CLAIM)
            wire.cut(CLAIM)
            await executor.append_many([Errand(number=number) for number in range(1, 60)])
            await wire.held.wait()
            await standby.pause()
            wire.let_go()
            await wire.cut_off.wait()
            await standby.commits_wait(2)  # the claim that was cut, and the next one
            await standby.resume()
            await asyncio.wait_for(executor.join(), 20)
            records = await executor.store.list_records(limit=100)
            assert {each.status for each in records} == {S.COMPLETED}
            assert not any(each.interruptions for each in records), "they were never started"
    assert max(Errand.runs.values()) == 1


async def test_a_reap_keeps_what_its_own_process_runs(server: Server) -> None:
    home = Home()
    store = PostgresStore(home.url, QUEUE, schema=home.schema)
    try:
        store.register_worker("worker", lambda event: None)
        await put(store, 1.0, 2.0)
        claims = [await claim_one(store, start=start) for start in (False, True)]
        assert await store.reap() == 0
        done = [Completion("done", 0.1)] * 2
        for one, outcome in zip(claims, done, strict=True):
            if one[0].execution.status is S.PENDING:
                store.start(one[0])
            assert await settle(store, one, outcome) is Settled.APPLIED
    finally:
        store.unregister_worker("worker")
        await store.close()


# -- appends ---------------------------------------------------------------------------------------


def store_of(executor: Errands) -> PostgresStore:
    store = executor.store
    assert isinstance(store, PostgresStore)
    return store


@asynccontextmanager
async def wired(server: Server) -> AsyncIterator[tuple[Wire, Errands]]:
    """An executor whose connections can be cut; it does not run."""
    async with wire_to(server.url) as wire:
        executor = Errands(store=f"{wire.url}&lionpride_schema={next(schemas)}")
        try:
            await store_of(executor).pause(0.0)  # now there are all tables, and the queue
            yield wire, executor
        finally:
            await executor.store.close()


@asynccontextmanager
async def late_commit(
    server: Server, wire: Wire, executor: Errands, statement: str, table: str
) -> AsyncIterator[SlowCommit]:
    """Cut the connection of a step at its commit, which then waits on the server.

    Args:
        statement: A statement of the step.
        table: A table that the step changes.
    """
    async with slow_commit(server.url, store_of(executor).names.schema, table) as commit:
        wire.cut(statement, at_commit=True)
        yield commit


@asynccontextmanager
async def appending_late(server: Server) -> AsyncIterator[tuple[Wire, Errands, SlowCommit]]:
    """An executor whose next append is committed late."""
    async with (
        wired(server) as (wire, executor),
        late_commit(server, wire, executor, APPEND, "event") as commit,
    ):
        yield wire, executor, commit


async def finish_during_next_try(commit: SlowCommit, wire: Wire, hold: str | None) -> None:
    """Have the commit end while the step is tried again: when it waits, or at a statement."""
    await wire.cut_off.wait()
    if hold is None:
        await commit.next_try()
    else:
        wire.hold(hold)
        await wire.held.wait()
    await commit.let_go()
    wire.let_go()


APPEND = r'INSERT INTO "\w+"\."event"'
LOOK_FOR_IDS = r"SELECT e.id, e.number, e.queue"


@pytest.mark.promise("postgres-lost-answer")
@pytest.mark.parametrize("room", [None, 100], ids=["", "with a queue limit"])
async def test_many_events_of_a_late_commit_are_appended_once(
    room: int | None, server: Server
) -> None:
    errands = [Errand(number=number) for number in range(20)]
    async with (
        wired(server) as (wire, executor),
        late_commit(server, wire, executor, APPEND, "event") as commit,
    ):
        entries = [(errand, 1.0) for errand in errands]
        appending = asyncio.create_task(executor.store.append(entries, room=room))
        await finish_during_next_try(commit, wire, None)
        assert await appending == errands
        assert [errand.status for errand in errands] == [S.PENDING] * 20
        assert (await executor.store.counts())[S.PENDING] == 20


@pytest.mark.promise("postgres-lost-answer")
@pytest.mark.parametrize(
    ("how", "hold"),
    [
        ({"unique": "one"}, None),
        ({"unique": "one", "exist_ok": True}, None),
        ({"ttl": 60.0}, None),
        ({"ttl": 60.0}, LOOK_FOR_IDS),
        ({"exist_ok": True}, None),
        ({"exist_ok": True}, LOOK_FOR_IDS),
    ],
    ids=str,
)
async def test_an_event_of_a_late_commit_is_answered_as_the_one_that_was_appended(
    how: dict[str, Any], hold: str | None, server: Server
) -> None:
    errand = Errand()
    async with (
        wired(server) as (wire, executor),
        late_commit(server, wire, executor, APPEND, "event") as commit,
    ):
        appending = asyncio.create_task(executor.append(errand, **how))
        await finish_during_next_try(commit, wire, hold)
        assert await appending is errand
        assert (await executor.store.counts())[S.PENDING] == 1


# -- continuations ---------------------------------------------------------------------------------

CONTINUE = r'INSERT INTO "\w+"\."continuation"'


@pytest.mark.promise("postgres-lost-answer")
async def test_the_continuation_of_a_late_commit_is_appended_once(server: Server) -> None:
    async with wired(server) as (wire, executor):
        await executor.append(Errand())
        one = await claim_one(executor.store, start=True)
        parent, following = Errand(number=1), Errand(number=2)
        after = {following.id: After((parent.id,))}
        outcome = Continued([(parent, 1.0), (following, 1.0)], after, 0.1)
        async with late_commit(server, wire, executor, CONTINUE, "finished") as commit:
            settling = asyncio.create_task(settle(executor.store, one, outcome))
            await finish_during_next_try(commit, wire, None)
            assert await settling is Settled.APPLIED
        assert one[0].execution.response == ContinuedBy(following.id)
        assert (parent.execution.is_blocked, following.execution.is_blocked) == (False, True)
        counts = await executor.store.counts()
        assert (counts[S.COMPLETED], counts[S.PENDING]) == (1, 2)


# -- by hand ---------------------------------------------------------------------------------------

LEAVE = r'DELETE FROM "\w+"\."ready" r WHERE r.ctid'
REOPEN = r'DELETE FROM "\w+"\."finished" WHERE number IN'
FORGET = r'DELETE FROM "\w+"\."event"'
LOCK = r'SELECT number, priority FROM "\w+"\."event"'


async def failed(executor: Errands, n: int = 1) -> list[Errand]:
    """Append events, and have them fail."""
    errands = [Errand(number=number) for number in range(n)]
    await executor.append_many(errands)
    for _ in errands:
        await end(executor.store, S.FAILED)
    return errands


@pytest.mark.promise("postgres-lost-answer")
async def test_a_cancel_of_a_late_commit_is_answered_as_done(server: Server) -> None:
    async with wired(server) as (wire, executor):
        errand = await executor.append(Errand())
        async with late_commit(server, wire, executor, LEAVE, "finished") as commit:
            cancelling = asyncio.create_task(executor.cancel(errand))
            await finish_during_next_try(commit, wire, None)
            assert await cancelling is True
        assert errand.status is S.CANCELLED


@pytest.mark.promise("postgres-lost-answer")
async def test_a_cancel_that_its_worker_has_heeded_before_the_next_try_is_answered_as_asked(
    server: Server,
) -> None:
    async with wired(server) as (wire, executor):
        worker = Errands(store=f"{server.url}&lionpride_schema={store_of(executor).names.schema}")
        try:
            errand = await executor.append(Errand())
            ((event, attempt),) = await claim(worker.store, start=True)
            wire.cut(r'UPDATE "\w+"\."lease" SET cancel', at_commit=True)
            cancelling = asyncio.create_task(executor.cancel(errand))
            await wire.cut_off.wait()
            wire.hold(LOCK)
            await wire.held.wait()
            answer = await settle(worker.store, (event, attempt), ENDINGS[S.CANCELLED])
            assert answer is Settled.APPLIED
            wire.let_go()
            assert await cancelling is True
        finally:
            await worker.store.close()


@pytest.mark.promise("postgres-lost-answer")
async def test_a_retry_of_a_late_commit_is_done_once(server: Server) -> None:
    async with wired(server) as (wire, executor):
        errands = await failed(executor, 3)
        async with late_commit(server, wire, executor, REOPEN, "finished") as commit:
            retrying = asyncio.create_task(executor.store.retry(errands))
            await finish_during_next_try(commit, wire, None)
            await retrying
        assert [errand.status for errand in errands] == [S.PENDING] * 3
        assert (await executor.store.counts())[S.PENDING] == 3


@pytest.mark.promise("postgres-lost-answer")
async def test_a_retry_is_done_once_though_the_event_has_failed_again_before_the_next_try(
    server: Server,
) -> None:
    async with wired(server) as (wire, executor):
        worker = Errands(store=f"{server.url}&lionpride_schema={store_of(executor).names.schema}")
        try:
            (errand,) = await failed(executor)
            wire.cut(REOPEN, at_commit=True)
            retrying = asyncio.create_task(executor.retry(errand))
            await wire.cut_off.wait()
            wire.hold(LOCK)
            await wire.held.wait()
            assert (await end(worker.store, S.FAILED))[1] == 2
            wire.let_go()
            await retrying
            assert (await record(worker.store, errand)).status is S.FAILED
        finally:
            await worker.store.close()


@pytest.mark.promise("postgres-lost-answer")
async def test_a_removal_of_a_late_commit_is_done_once(server: Server) -> None:
    async with wired(server) as (wire, executor):
        errands = await failed(executor, 3)
        async with late_commit(server, wire, executor, FORGET, "finished") as commit:
            removing = asyncio.create_task(executor.store.remove(errands))
            await finish_during_next_try(commit, wire, None)
            await removing
        assert await executor.store.list_records() == []
        assert list(executor.states.items) == []


@pytest.mark.promise("postgres-lost-answer")
async def test_a_prune_of_a_late_commit_removes_no_more_than_was_asked(server: Server) -> None:
    async with wired(server) as (wire, executor):
        errands = await failed(executor, 6)
        async with late_commit(server, wire, executor, FORGET, "finished") as commit:
            pruning = asyncio.create_task(executor.store.prune([S.FAILED], limit=2))
            await finish_during_next_try(commit, wire, None)
            assert await pruning == errands[:2]
        assert (await executor.store.counts())[S.FAILED] == 4


# -- costs -----------------------------------------------------------------------------------------

SPEND = r'(INSERT INTO|UPDATE) "\w+"\."limit_usage"'


@pytest.mark.promise("postgres-lost-answer")
@pytest.mark.parametrize("spent", [110.0, 60.0], ids=["more", "less"])
@pytest.mark.parametrize("late", [False, True], ids=["lost", "late"])
async def test_a_cost_that_is_stated_once_is_counted_once(
    spent: float, late: bool, server: Server
) -> None:
    limits = Limits([Limit("tokens", 200, per=3600.0)])
    async with wired(server) as (wire, executor):
        store = store_of(executor)
        store.event_types.run_only([Call])
        await store.append([(Call(tokens=100), 1.0)])
        ((event, attempt),), _ = await store.claim("worker", 1, limits=limits, start=True)
        if late:
            async with late_commit(server, wire, executor, SPEND, "limit_usage") as commit:
                event.spend(tokens=spent)
                await finish_during_next_try(commit, wire, None)
        else:
            wire.cut(SPEND, at_commit=True)
            event.spend(tokens=spent)
            await wire.cut_off.wait()
        await store.settle([(event, attempt, Completion("done", 0.1))])
        (room,) = await store.limit_usage(limits)
        assert room.used == spent


@pytest.mark.promise("postgres-lost-answer")
async def test_costs_that_are_stated_again_and_again_all_count_if_one_answer_is_lost(
    server: Server,
) -> None:
    limits = Limits([Limit("tokens", 200, per=3600.0)])
    async with wired(server) as (wire, executor):
        store = store_of(executor)
        store.event_types.run_only([Call])
        await store.append([(Call(tokens=10), 1.0)])
        ((event, attempt),), _ = await store.claim("worker", 1, limits=limits, start=True)
        wire.cut(SPEND, at_commit=True)
        for spent in (20.0, 70.0, 50.0, 120.0):
            event.spend(tokens=spent)
        await store.settle([(event, attempt, Completion("done", 0.1))])
        assert wire.cut_off.is_set()
        (room,) = await store.limit_usage(limits)
        assert room.used == 120.0


# -- reaps -----------------------------------------------------------------------------------------


async def test_a_reap_does_not_tell_of_an_ending_that_another_worker_has_recorded_since(
    server: Server,
) -> None:
    told, clock = list[Any](), Clock()
    async with wire_to(server.url) as wire:
        schema = next(schemas)
        reaper = PostgresStore(wire.url, QUEUE, schema=schema, clock=clock, listen=False)
        worker = PostgresStore(server.url, QUEUE, schema=schema, clock=clock, listen=False)
        try:
            reaper.subscribe(Signal.EXPIRED, lambda event, before: told.append(event))
            (job,) = await put(reaper, 1.0)
            await claim_one(worker, start=True)
            clock.advance(60.0)
            wire.hold(r"SELECT number, status, finished_at")
            reaping = asyncio.create_task(reaper.reap())
            await wire.held.wait()
            one = await claim_one(worker, start=True)
            assert await settle(worker, one, Completion("done", 0.1)) is Settled.APPLIED
            wire.let_go()
            assert await reaping == 1
            assert (await record(reaper, job)).status is S.COMPLETED
            assert told == []
        finally:
            await reaper.close()
            await worker.close()
