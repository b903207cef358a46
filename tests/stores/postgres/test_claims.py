"""What a worker claims while what it has done is not on record."""

import asyncio
import re
from pathlib import Path
from typing import ClassVar

import asyncpg
import pytest
from rules.kit import Call
from stores.asking import claim, end, put
from stores.homes import Home
from stores.makers import QUEUE, Clock, Job, postgres_in
from stores.postgres.wire import cancel_who_waits_for

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.errors import StoreError
from lionpride.model.retry_policy import Retry
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.state_machine import Completion
from lionpride.stores.contract import Store
from lionpride.stores.postgres import PostgresStore, backend
from lionpride.stores.postgres.backend import AHEAD
from lionpride.stores.postgres.tables import TableNames
from lionpride.stores.terms import Terms

SLOTS = 4


class Quick(Event):
    """Counts that it has run."""

    ran: ClassVar[list[int]] = []
    n: int = 0

    async def _invoke(self) -> None:
        self.ran.append(self.n)


class QuickProcessor(Processor):
    event_type: ClassVar[type[Event]] = Quick


class QuickDesk(Executor):
    processor_type: ClassVar[type[Processor]] = QuickProcessor


async def test_nothing_is_claimed_while_far_more_has_ended_than_is_on_record() -> None:
    """Claims go over a connection of their own: they do not stop where settlements do."""
    home = Home()
    store = f"{home.url}&lionpride_schema={home.schema}"
    desk = QuickDesk({"concurrency_limit": SLOTS}, store=store)
    await desk.append_many([Quick(n=n) for n in range(200)])
    other: asyncpg.Connection = await asyncpg.connect(home.url)
    lock = other.transaction()
    try:
        await lock.start()
        await other.execute(
            TableNames(home.schema, "").fill("LOCK TABLE {finished} IN EXCLUSIVE MODE")
        )
        async with desk:
            before = -1
            while before < SLOTS or len(Quick.ran) > before:  # a hundred looks without one more
                before = len(Quick.ran)
                for _ in range(100):
                    await desk.store.counts()
            assert before <= (AHEAD + 1) * SLOTS, "a kill would have run more again"
            await lock.rollback()
            await desk.join()
            assert (await desk.store.counts())[EventStatus.COMPLETED] == 200
    finally:
        await other.close()
        await desk.store.close()
    assert sorted(Quick.ran) == list(range(200))


async def test_what_a_claim_had_taken_before_it_failed_is_given_back() -> None:
    """It ends what was not started in time after it has claimed; its worker lives on."""
    home = Home()
    # Nobody else looks for what was not started in time, and would be at it before the claim.
    store = PostgresStore(home.url, QUEUE, schema=home.schema, listen=False, poll=60.0)
    other: asyncpg.Connection = await asyncpg.connect(home.url)
    try:
        store.register_worker("worker", lambda event: None)
        jobs = await put(store, 1.0, 2.0)
        await other.execute(f"UPDATE {home.schema}.ready SET expires = 1 WHERE priority = 1")
        async with other.transaction():
            await other.execute(f"LOCK TABLE {home.schema}.finished IN EXCLUSIVE MODE")
            claiming = asyncio.create_task(claim(store, 1, start=True))
            await cancel_who_waits_for(other, f"{home.schema}.finished")
            with pytest.raises(StoreError, match="cancel"):
                await claiming
        while not (claims := await claim(store, 1, start=True)):
            await asyncio.sleep(0.05)
        assert claims == [(jobs[1], 2)]
    finally:
        store.unregister_worker("worker")
        await other.close()
        await store.close()


async def test_what_nobody_waits_for_is_given_back_though_that_fails_at_first() -> None:
    home = Home()
    store = PostgresStore(home.url, QUEUE, schema=home.schema)
    first: asyncpg.Connection = await asyncpg.connect(home.url)
    second: asyncpg.Connection = await asyncpg.connect(home.url)
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass"
    try:
        store.register_worker("worker", lambda event: None)
        await store.claim("worker")  # it reaps, which the next claim need not do
        (job,) = await put(store, 1.0)
        async with second.transaction():
            await second.execute(f"LOCK TABLE {home.schema}.finished IN EXCLUSIVE MODE")
            async with first.transaction():
                await first.execute(f"LOCK TABLE {home.schema}.lease IN EXCLUSIVE MODE")
                claiming = asyncio.create_task(claim(store, 1, start=True))
                while not await first.fetchval(waits, f"{home.schema}.lease"):
                    await asyncio.sleep(0.01)
                claiming.cancel()
            cancel = waits.replace("count(*)", "count(pg_cancel_backend(pid))")
            while not await second.fetchval(cancel, f"{home.schema}.finished"):
                await asyncio.sleep(0.01)
        while not (claims := await claim(store, 1, start=True)):
            await asyncio.sleep(0.05)
        assert claims == [(job, 2)]
    finally:
        store.unregister_worker("worker")
        await first.close()
        await second.close()
        await store.close()


@pytest.mark.parametrize("start", [True, False])
async def test_what_is_known_here_and_what_is_not_come_in_one_order(start: bool) -> None:
    home = Home()
    mine = PostgresStore(home.url, QUEUE, schema=home.schema)
    other = PostgresStore(home.url, QUEUE, schema=home.schema)
    try:
        await put(other, 3.0)
        await other.retry([(await end(other, EventStatus.FAILED))[0]])
        await put(other, 2.0, 5.0)
        await other.append([(Job(label="own"), 6.0)], terms=Terms(retry=Retry(attempts=7)))
        ours = await put(mine, 4.0, 1.0)
        claimed = await claim(mine, 10, start=start)
        events = [event for event, _ in claimed]
        assert [event.execution.priority for event in events] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
        assert [attempt for _, attempt in claimed] == [1, 1, 2, 1, 1, 1]
        assert events[0] is ours[1]
        assert events[3] is ours[0]
        assert events[5].execution.retry == Retry(attempts=7)
        wanted = EventStatus.PROCESSING if start else EventStatus.PENDING
        assert {event.execution.status for event in events} == {wanted}
        assert [event.label for event in events[1:5]] == ["0", "0", "0", "1"]  # type: ignore[attr-defined]
    finally:
        await other.close()
        await mine.close()


async def test_a_claim_passes_over_rows_that_other_transactions_have_locked() -> None:
    """They may be locked for an update, or by several transactions for a look."""
    home = Home()
    store = PostgresStore(home.url, QUEUE, schema=home.schema)
    one, other = [await asyncpg.connect(home.url) for _ in range(2)]
    ready = f"{home.schema}.ready"
    try:
        await put(store, 1.0, 2.0, 3.0, 4.0)
        async with one.transaction(), other.transaction():
            await one.execute(f"SELECT FROM {ready} WHERE priority = 1 FOR UPDATE")
            for each in (one, other):
                await each.execute(f"SELECT FROM {ready} WHERE priority = 3 FOR SHARE")
            claims = await claim(store, 4)
            assert [event.execution.priority for event, _ in claims] == [2.0, 4.0]
        claims = await claim(store, 4)
        assert [event.execution.priority for event, _ in claims] == [1.0, 3.0]
    finally:
        await one.close()
        await other.close()
        await store.close()


def test_no_statement_changes_in_place_what_may_be_claimed() -> None:
    """A claim deletes rows where it has found them: an UPDATE meanwhile would keep them."""
    folder = Path(backend.__file__).parent
    sources = [*folder.glob("*.py"), *(folder.parent / "sql").glob("*.py")]
    updates = re.findall(
        r"UPDATE \{+ready\}+[^;\"]*", "\n".join(source.read_text() for source in sources)
    )
    assert updates, "what has become due is made ready"
    later = re.compile(r"due > 0|\{IS_BLOCKED\}")
    assert all(map(later.search, updates)), "those are not claimed yet"


async def test_a_start_counts_from_when_its_lease_was_given() -> None:
    """It is decided before. So the time that the claim takes shortens no window."""
    clock, home = Clock(), Home()
    store = postgres_in(home, clock)
    limits = Limits([Limit("tokens", 100, 60.0)])
    await store.append([(Call(tokens=each), 1.0) for each in (60, 100)])
    clock.tick = 1.0  # each look at the time comes a second later
    ((event, _),), _ = await store.claim("worker", 1, limits=limits, start=True)
    clock.tick = 0.0
    claims, wait = await store.claim("worker", 1, limits=limits, start=True)
    assert claims == []
    assert wait == pytest.approx(60.0), "it counts from the last look"
    event.spend(tokens=0)  # what is given back is found where it was taken
    ((large, _),), _ = await store.claim("worker", 1, limits=limits, start=True)
    assert large.costs["tokens"] == 100
    await store.close()


async def test_claims_of_known_and_new_events_are_in_order(opened: list[Store]) -> None:
    home = Home()
    opened.append(store := postgres_in(home, None))
    opened.append(other := postgres_in(home, None))
    for known in (2, 3, 3, 1, 0):  # whether a claim reads whole events depends on the last one
        for place in range(4):
            await put(store if place < known else other, float(place % 2), float(place))
        claims = await claim(store, 8, start=True)
        keys = [(event.execution.priority, event.execution.arrival) for event, _ in claims]
        assert len(keys) == 8
        assert keys == sorted(keys)
        assert {event.status for event, _ in claims} == {EventStatus.PROCESSING}
        assert len(store.states.of(EventStatus.PROCESSING)) == 8
        await store.settle([(*one, Completion(None, 0.1)) for one in claims])


async def test_a_worker_whose_row_was_deleted_claims_again() -> None:
    """Another worker deletes the row of a process that was stopped for an hour."""
    home = Home()
    store = PostgresStore(home.url, QUEUE, schema=home.schema, lease=1.5)
    other: asyncpg.Connection = await asyncpg.connect(home.url)
    try:
        store.register_worker("worker", lambda event: None)
        (job,) = await put(store, 1.0)
        await other.execute(f"DELETE FROM {home.schema}.worker")
        count = f"SELECT count(*) FROM {home.schema}.worker WHERE name = 'worker'"
        while not await other.fetchval(count):
            await asyncio.sleep(0.05)
        assert await claim(store, 1, start=True) == [(job, 1)]
    finally:
        store.unregister_worker("worker")
        await other.close()
        await store.close()
