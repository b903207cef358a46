"""Each hot statement goes by the index that was meant, whatever the statistics of the tables say.

A hundred thousand events wait, a tenth of them for their time, as many have finished, and a
hundred are leased. In the end the tables of what waits and what is leased were vacuumed while
nothing was in them, as the library itself does, so that the planner believes them to be empty. The
plans are those of the library's own connections, whose planner switches pin them.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg
import pytest
from stores.homes import Home, aside

from lionpride.stores.postgres import (
    hot_append,
    hot_claim,
    hot_complete,
    queries,
    transaction,
)
from lionpride.stores.postgres.connection_pool import Connector
from lionpride.stores.postgres.tables import TableNames
from lionpride.stores.sql import leases, limits

N = 100_000
TABLES = ("event", "ready", "lease", "finished", "worker")
FILL = """
INSERT INTO {queue} (name) VALUES ('plans');
INSERT INTO {counter} (queue, shard) SELECT 1, n FROM generate_series(0, 159) n;
INSERT INTO {event} (id, queue, event_type, created_at, priority, payload)
SELECT gen_random_uuid(), 1, 'tests:Kind', 0, random(), '{{}}'
FROM generate_series(1, 2 * $N + 100);
INSERT INTO {ready} (queue, priority, number)
SELECT 1, priority, number FROM {event} WHERE number <= $N;
UPDATE {ready} SET due = number WHERE number <= $N / 10;
INSERT INTO {finished} (number, queue, status, finished_at, attempt, failures, denials,
    interruptions)
SELECT number, 1, 'completed', number, 1, 0, 0, 0 FROM {event}
WHERE number > $N AND number <= 2 * $N;
INSERT INTO {lease} (number, queue, due, priority, attempt, failures, denials, interruptions,
    worker, leased_until)
SELECT number, 1, 0, priority, 1, 0, 0, 0, 'somebody', 0 FROM {event} WHERE number > 2 * $N;
INSERT INTO {worker} (name, queue, machine, host, pid, process_start, started_at, heartbeat_at,
    leases_until)
VALUES ('somebody', 1, 'm', 'h', 1, '1', 0, 0, 0);
"""
HOLLOW = (
    "CREATE TEMP TABLE kept AS TABLE {{{0}}}",
    "DELETE FROM {{{0}}}",
    "VACUUM (TRUNCATE OFF) {{{0}}}",
    "INSERT INTO {{{0}}} TABLE kept",
    "DROP TABLE kept",
)


@dataclass(frozen=True)
class Hot:
    """A statement, the indexes it has to go by, and tables that it may read whole: small ones."""

    text: str
    indexes: tuple[str, ...]
    whole: tuple[str, ...] = ("queue", "counter", "worker", "limit_account")


NEXT = "ready_next"
PLAIN = (NEXT, "event_pkey", "counter_pkey")
HOT = {
    "append": Hot(hot_append._APPEND, ("counter_pkey",)),
    "claim": Hot(hot_claim.CLAIM, PLAIN),
    "claim with the denied": Hot(hot_claim.CLAIM_WITH_DENIED, PLAIN),
    "claim under limits": Hot(transaction._CLAIM, (NEXT, "ready_later")),
    "candidates of a limit": Hot(limits.READY_CANDIDATES, (NEXT, "event_pkey")),
    "... with the denied": Hot(limits.DENIED_CANDIDATES, (NEXT, "event_pkey")),
    "delete ready events": Hot(transaction._DELETE_READY, (NEXT, "ready_later", "event_pkey")),
    "what is known of some": Hot(queries._KEPT, ("event_pkey",)),
    "where some stand": Hot(queries._STATUSES, ("lease_pkey", "finished_pkey")),
    "ids that are known": Hot(hot_append._KNOWN, ("event_id",)),
    "complete": Hot(hot_complete._COMPLETE, ("lease_pkey", "counter_pkey")),
    "settle": Hot(transaction._SETTLE, ("lease_pkey", "counter_pkey")),
    "sign of life": Hot(leases.BEAT, ("worker_pkey",)),
    "reap": Hot(leases._LAPSED, ("lease_pkey",)),
    "due": Hot(hot_claim._PROMOTE, ("ready_due",)),
}


class Tables:
    """The filled tables, and a connection as the library opens it."""

    def __init__(self) -> None:
        self.home = Home(new=True)
        self.names = TableNames(self.home.schema, "")
        one = aside()
        for table in TABLES:  # statistics are gathered when the test says so
            off = f"ALTER TABLE {{{table}}} SET (autovacuum_enabled = off)"
            one.do(one.connection.execute(self.names.fill(off)))
        one.do(one.connection.execute(self.names.fill(FILL.replace("$N", str(N)))))
        connector = Connector(self.home.url, self.names, pgbouncer=False, patience=10.0)
        self.connection: asyncpg.Connection = one.do(connector.open())

    def nodes(self, text: str) -> list[dict[str, object]]:
        """The nodes of the plan of a statement, whatever its arguments are."""
        return aside().do(self._nodes(self.names.fill(text)))

    async def _nodes(self, text: str) -> list[dict[str, object]]:
        places = max(map(int, re.findall(r"\$(\d+)", text)))
        nothing = ", ".join(["NULL"] * places)
        await self.connection.execute(f"PREPARE asked AS {text}")
        try:
            said = await self.connection.fetchval(
                f"EXPLAIN (FORMAT JSON) EXECUTE asked ({nothing})"
            )
        finally:
            await self.connection.execute("DEALLOCATE asked")
        return list(walk(json.loads(said)[0]["Plan"]))

    def take_for_empty(self) -> None:
        """Have the hot tables vacuumed while nothing is in them, and filled again."""
        one = aside()
        for table in ("ready", "lease"):
            for each in HOLLOW:
                one.do(one.connection.execute(self.names.fill(each.format(table))))

    def analyze(self) -> None:
        for table in TABLES:
            one = aside()
            one.do(one.connection.execute(self.names.fill(f"ANALYZE {{{table}}}")))

    def close(self) -> None:
        aside().do(self.connection.close())


def tables_of(node: dict[str, object]) -> set[str]:
    """The tables that a node reads, and those below it."""
    return {str(each["Relation Name"]) for each in walk(node) if "Relation Name" in each}


def walk(node: dict[str, object]) -> Iterator[dict[str, object]]:
    yield node
    for below in node.get("Plans", ()):  # type: ignore[attr-defined]
        yield from walk(below)


@pytest.fixture(scope="module", params=["without statistics", "with statistics"])
def tables(request: pytest.FixtureRequest) -> Iterator[Tables]:
    made = Tables()
    if request.param == "with statistics":
        made.analyze()
    yield made
    made.close()


@pytest.fixture(scope="module")
def hollow(tables: Tables) -> Tables:
    """The last state that is asked about."""
    tables.analyze()
    tables.take_for_empty()
    return tables


def check(tables: Tables, hot: Hot) -> None:
    nodes = tables.nodes(hot.text)
    used = {str(node["Index Name"]) for node in nodes if "Index Name" in node}
    assert used >= set(hot.indexes), f"it goes by {used}"
    scanned = {str(n["Relation Name"]) for n in nodes if n["Node Type"] == "Seq Scan"}
    assert scanned <= set(hot.whole), f"it reads {scanned} from end to end"
    filters = [
        n["Join Filter"] for n in nodes if "Join Filter" in n and tables_of(n) - {*hot.whole}
    ]
    assert not filters, f"it holds each against each: {filters}"


@pytest.mark.parametrize("name", HOT)
def test_it_goes_by_its_index(name: str, tables: Tables) -> None:
    check(tables, HOT[name])


@pytest.mark.parametrize("name", HOT)
def test_where_the_tables_were_vacuumed_while_empty_it_goes_by_its_index(
    name: str, hollow: Tables
) -> None:
    check(hollow, HOT[name])


def test_a_claim_reads_what_waits_in_its_order_and_sorts_nothing_of_it(tables: Tables) -> None:
    nodes = tables.nodes(HOT["claim"].text)
    picked = [node for node in nodes if node.get("Index Name") == NEXT]
    assert all(node["Node Type"] in ("Index Scan", "Index Only Scan") for node in picked)
    assert not any(node["Node Type"] in ("Hash Join", "Merge Join") for node in nodes)
