"""A connection is cut while the server commits: the commit comes later, and its answer never."""

import asyncio
from collections.abc import Iterator

import pytest
from stores.asking import claim_one, put, settle
from stores.homes import Home
from stores.makers import QUEUE
from stores.postgres.slow import slow_commit, standby_of
from stores.postgres.test_faults import Errand, Errands, schemas
from stores.postgres.wire import wire_to

from lionpride.core import EventStatus
from lionpride.rules.lifecycle import Completion
from lionpride.stores.contract import Settled
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
        records = await executor.store.events(limit=100)
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
            records = await executor.store.events(limit=100)
            assert {each.status for each in records} == {S.COMPLETED}
            assert not any(each.interruptions for each in records), "they were never started"
    assert max(Errand.runs.values()) == 1


async def test_a_reap_keeps_what_its_own_process_runs(server: Server) -> None:
    home = Home()
    store = PostgresStore(home.url, QUEUE, schema=home.schema)
    try:
        store.enlist("worker", lambda event: None)
        await put(store, 1.0, 2.0)
        claims = [await claim_one(store, start=start) for start in (False, True)]
        assert await store.sweep() == 0
        done = [Completion("done", 0.1)] * 2
        for one, outcome in zip(claims, done, strict=True):
            if one[0].execution.status is S.PENDING:
                store.start(one[0])
            assert await settle(store, one, outcome) is Settled.APPLIED
    finally:
        store.discharge("worker")
        await store.close()
