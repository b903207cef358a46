"""Claims that a live worker sends back, on a server that refuses that at first.

The worker renews its lease, so no reap would return such a claim.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from stores.homes import Home
from stores.makers import Clock, Job, postgres_in
from stores.test_contract_unreadable import Releases

from lionpride.model.execution import EventStatus
from lionpride.rules.state_machine import RELEASED

S = EventStatus

REFUSE = """
CREATE SEQUENCE {s}.refused;
CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM nextval('{s}.refused'); RAISE EXCEPTION 'not today'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON {s}.ready EXECUTE FUNCTION {s}.refuse();
CREATE TRIGGER refuse BEFORE INSERT ON {s}.finished EXECUTE FUNCTION {s}.refuse();
"""
AGAIN = "DROP FUNCTION {s}.refuse() CASCADE; DROP SEQUENCE {s}.refused"


@asynccontextmanager
async def refusing(home: Home) -> AsyncIterator[Any]:
    """The server lets no event wait or end until the end of the block, and counts the attempts."""
    s = f'"{home.schema}"'
    connection = await asyncpg.connect(home.url)
    try:
        await connection.execute(REFUSE.replace("{s}", s))
        try:

            async def refused(times: int) -> None:
                query = f"SELECT is_called AND last_value >= $1 FROM {s}.refused"
                while not await connection.fetchval(query, times):
                    await asyncio.sleep(0.01)

            yield refused
        finally:
            await connection.execute(AGAIN.replace("{s}", s))
    finally:
        await connection.close()


async def until_none_is_claimed(store: Any) -> None:
    async with asyncio.timeout(20):
        while (await store.counts())[S.PROCESSING]:
            await asyncio.sleep(0.01)


@pytest.mark.guard(40)
@pytest.mark.parametrize("what", ["unknown", "unknown, of its own", "unreadable", "failed"])
async def test_what_a_worker_cannot_run_is_sent_back_until_that_is_done(
    what: str, clock: Clock
) -> None:
    home, new = Home(), Releases.new()
    first = postgres_in(home, clock)
    event: Any = Job() if "unknown" in what else new(note="a")  # type: ignore[call-arg]
    await first.append([(event, 1.0)])
    if "unknown" in what:
        connection = await asyncpg.connect(home.url)
        await connection.execute(f"UPDATE {home.schema}.event SET event_type = 'not.Here'")
        await connection.close()
    await first.close()
    old = Releases.old()
    store: Any = postgres_in(home, clock)
    if what == "failed":
        store.event_types.fail_unreadable()
    store.register_worker("worker", lambda event: None)
    if "own" in what:  # it looks for events of its own before those of others
        await store.append([(Job(), 0.0)])
        (claim,), _ = await store.claim("worker", 1, start=True)
    async with refusing(home) as refused:
        claims, _ = await store.claim("worker", 1, start=True)
        assert claims == []
        await refused(2)
        assert (await store.counts())[S.PROCESSING] >= 1
    if "own" in what:
        await store.settle([(*claim, RELEASED)])
    await until_none_is_claimed(store)
    counts = await store.counts()
    assert counts[S.FAILED if what == "failed" else S.PENDING] >= 1
    await store.close()
    assert old is not None
