"""The same events over PostgreSQL by asyncpg alone: the ceiling.

An event is written once; narrow rows say whether it is ready, leased or finished. Each batch of a
hundred takes three statements and three commits: insert, claim, complete. The plans are pinned, and
the two hot tables are vacuumed every two seconds; otherwise the planner scans them.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from benchmarks.start_signal import StartSignal
from benchmarks.workload import WARM_UP, shuffled_priorities

BATCH = 100
LEASE = 10.0
REST = 2.0
"""Seconds between two vacuums."""

SCHEMA = """
DROP SCHEMA IF EXISTS raw CASCADE;
CREATE SCHEMA raw;
CREATE TABLE raw.event (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id       uuid NOT NULL UNIQUE,
    priority float8 NOT NULL,
    payload  text NOT NULL
);
CREATE TABLE raw.ready (
    priority float8 NOT NULL,
    seq      bigint NOT NULL,
    due      float8 NOT NULL,
    attempt  integer NOT NULL,
    PRIMARY KEY (priority, seq)
);
CREATE TABLE raw.lease (
    seq     bigint PRIMARY KEY,
    attempt integer NOT NULL,
    worker  integer NOT NULL,
    until   timestamptz NOT NULL
);
CREATE TABLE raw.finished (
    seq     bigint PRIMARY KEY,
    status  smallint NOT NULL,
    attempt integer NOT NULL,
    result  text
);
"""
PINNED = {
    "search_path": "raw",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
INSERT = """
WITH new AS (
    INSERT INTO event (id, priority, payload)
    SELECT * FROM unnest($1::uuid[], $2::float8[], $3::text[])
    ON CONFLICT (id) DO NOTHING
    RETURNING priority, seq
)
INSERT INTO ready SELECT priority, seq, 0, 0 FROM new
"""
CLAIM = """
WITH next AS MATERIALIZED (
    SELECT ctid, priority, seq, attempt FROM ready
    ORDER BY priority, seq LIMIT $1 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM ready WHERE ctid = ANY (ARRAY(SELECT ctid FROM next))
), taken AS (
    INSERT INTO lease
    SELECT seq, attempt + 1, $2, clock_timestamp() + make_interval(secs => $3) FROM next
)
SELECT next.seq, next.attempt + 1, event.payload
FROM next JOIN event USING (seq) ORDER BY next.priority, next.seq
"""
COMPLETE = """
WITH gone AS (
    DELETE FROM lease
    USING unnest($1::bigint[], $2::integer[], $3::text[]) AS done (seq, attempt, result)
    WHERE lease.seq = done.seq AND lease.attempt = done.attempt
    RETURNING lease.seq, lease.attempt, done.result
)
INSERT INTO finished SELECT seq, 1, attempt, result FROM gone
"""
RESULT = json.dumps({"status": "completed", "duration": 1.2345e-05, "response": None})


def child(way: str, url: str, n: int) -> None:
    """Run ``flow``, which inserts and completes n events, or ``make``, which makes the tables."""
    asyncio.run({"flow": flow, "make": make}[way](url, n))


@asynccontextmanager
async def connected(url: str) -> Any:
    """Open a connection with pinned plans, and another that vacuums."""
    import asyncpg

    connection = await asyncpg.connect(url, server_settings=PINNED)
    other = await asyncpg.connect(url, server_settings=PINNED)
    vacuum = asyncio.create_task(vacuum_often(other))
    try:
        yield connection
    finally:
        vacuum.cancel()
        with suppress(asyncio.CancelledError):
            await vacuum
        await connection.close()
        await other.close()


async def vacuum_often(connection: Any) -> None:
    while True:
        await asyncio.sleep(REST)
        await connection.execute("VACUUM ready")
        await connection.execute("VACUUM lease")


async def make(url: str, _n: int) -> None:
    async with connected(url) as connection:
        await connection.execute(SCHEMA)


def batches(n: int) -> list[tuple[list[Any], list[float], list[str]]]:
    """Return the events as JSON, in batches."""
    from benchmarks.events import page

    priorities = shuffled_priorities(n)
    made = []
    for start in range(0, n, BATCH):
        some = priorities[start : start + BATCH]
        events = [page(number) for number in range(len(some))]
        texts = [json.dumps(event.to_dict("json")) for event in events]
        made.append(([event.id for event in events], some, texts))
    return made


async def flow(url: str, n: int) -> None:
    async with connected(url) as connection:
        cycles = await prepared(connection)
        for batch in batches(WARM_UP):
            await cycle(*cycles, batch)
        made = batches(n)
        signal = StartSignal()
        gc.collect()
        signal.wait()
        done = 0
        for batch in made:
            done += await cycle(*cycles, batch)
        while count := await work(*cycles[1:]):
            done += count
        signal.finish(events=done)


async def prepared(connection: Any) -> Sequence[Any]:
    return [(await connection.prepare(each)).fetch for each in (INSERT, CLAIM, COMPLETE)]


async def cycle(insert: Any, claim: Any, complete: Any, batch: Any) -> int:
    await insert(*batch)
    return await work(claim, complete)


async def work(claim: Any, complete: Any) -> int:
    claimed = await claim(BATCH, 1, LEASE)
    if claimed:
        numbers = [row[0] for row in claimed]
        attempts = [row[1] for row in claimed]
        await complete(numbers, attempts, [RESULT] * len(claimed))
    return len(claimed)
