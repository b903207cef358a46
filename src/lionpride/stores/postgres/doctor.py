"""Findings about a database: old transactions, vacuum, connections, abandoned leases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from ..maintenance import Finding
from .session import TableConnection

__all__ = ("examine",)


OLD: Final = 60.0
"""Seconds after which a transaction is old; those of this library take milliseconds."""
LATE: Final = 60.0
"""Seconds after which the expired lease of a dead worker should have been reaped."""
BEHIND: Final = 100_000
"""Maximum number of transactions that a replication slot may lag behind."""
DEAD: Final = 50_000
"""Number of dead rows in a small table that is too high, if it is ten times that of live rows."""
FULL: Final = 0.8
"""Maximum share of the connections that may be in use."""
WRAP: Final = 1_500_000_000
"""Age of the oldest transaction at which a finding is reported; the server stops at 2^31."""

HOT: Final = ("ready", "lease", "counter", "worker")
"""Tables whose rows change with each event."""

_SESSIONS: Final = """
SELECT pid, coalesce(usename, ''), coalesce(application_name, ''), coalesce(state, ''),
    extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM pg_stat_activity
WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()
    AND backend_type <> 'autovacuum worker'
    AND xact_start < clock_timestamp() - make_interval(secs => $1)
ORDER BY xact_start LIMIT 10
"""
_PREPARED: Final = """
SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts
WHERE prepared < clock_timestamp() - make_interval(secs => $1) ORDER BY prepared LIMIT 10
"""
_SLOTS: Final = """
SELECT slot_name, age(xmin) FROM pg_replication_slots WHERE xmin IS NOT NULL AND age(xmin) > $1
"""
_STANDBYS: Final = """
SELECT coalesce(application_name, ''), age(backend_xmin) FROM pg_stat_replication
WHERE age(backend_xmin) > $1
"""
_SETTINGS: Final = """
SELECT current_setting('autovacuum'), current_setting('track_counts'), current_setting('fsync'),
    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), current_user::text,
    (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database())
"""
_TABLES: Final = """
SELECT c.relname, coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0),
    coalesce('autovacuum_enabled=false' = ANY(c.reloptions), false)
FROM unnest($1::text[]) AS t (name) JOIN pg_class c ON c.oid = to_regclass(t.name)
LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
"""
_CONNECTIONS: Final = """
SELECT count(*) FILTER (WHERE backend_type = 'client backend'),
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
FROM pg_stat_activity
"""
_LOST: Final = """
SELECT count(*) FROM {lease} l LEFT JOIN {worker} w ON w.name = l.worker
WHERE w.name IS NULL AND l.leased_until < {now} - $2
"""


async def examine(db: TableConnection) -> list[Finding]:
    """Return the findings about a database and its server."""
    checks: tuple[Callable[[TableConnection], Awaitable[Iterable[Finding]]], ...]
    checks = (_sessions, _prepared, _slots, _settings, _tables, _connections, _leases)
    return [finding for check in checks for finding in await check(db)]


def _pins(what: str, seconds: float, remedy: str) -> Finding:
    return Finding(
        "horizon",
        "slow",
        f"{what} has been open for {seconds:,.0f} s: no row that has died since can be removed, "
        "and claims read past ever more of them",
        remedy,
    )


async def _sessions(db: TableConnection) -> Iterable[Finding]:
    found = []
    for pid, user, program, state, seconds in await db.rows(_SESSIONS, OLD):
        who = " ".join(filter(None, (user, program and f"({program})", state and f"{state!r}")))
        remedy = (
            f"end it: SELECT pg_terminate_backend({pid}); and let none grow so old: "
            "idle_in_transaction_session_timeout = '1min'"
        )
        found.append(_pins(f"the transaction of session {pid}, {who},", seconds, remedy))
    return found


async def _prepared(db: TableConnection) -> Iterable[Finding]:
    return [
        _pins(f"the prepared transaction {gid!r}", seconds, f"ROLLBACK PREPARED '{gid}'")
        for gid, seconds in await db.rows(_PREPARED, OLD)
    ]


async def _slots(db: TableConnection) -> Iterable[Finding]:
    slots = [
        (f"replication slot {name!r}", behind, f"SELECT pg_drop_replication_slot('{name}')")
        for name, behind in await db.rows(_SLOTS, BEHIND)
    ]
    standbys = [
        (f"standby {name!r}", behind, "hot_standby_feedback = off, on the standby")
        for name, behind in await db.rows(_STANDBYS, BEHIND)
    ]
    return [
        Finding(
            "horizon",
            "slow",
            f"the {what} holds back {behind:,} transactions: no row that has died since can be "
            "removed",
            f"bring its reader back or end its old query; or: {remedy}",
        )
        for what, behind, remedy in (*slots, *standbys)
    ]


async def _settings(db: TableConnection) -> Iterable[Finding]:
    vacuum, counted, fsync, sees, user, age = await db.row(_SETTINGS)
    found = []
    if "off" in (vacuum, counted):
        name = "autovacuum" if vacuum == "off" else "track_counts"
        what = f"{name} is off: dead rows of all tables stay until VACUUM is run by hand"
        found.append(Finding("vacuum", "slow", what, f"{name} = on, in postgresql.conf"))
    if fsync == "off":
        what = "fsync is off: a crash of the machine may take what was acknowledged, or all of it"
        found.append(Finding("fsync", "note", what, "fsync = on, unless this is for tests"))
    if not sees:
        what = (
            f"user {user!r} cannot see the sessions of other users: old transactions cannot "
            "be named"
        )
        found.append(Finding("rights", "note", what, f"GRANT pg_read_all_stats TO {user}"))
    if age > WRAP:
        what = f"{age:,} transactions without a freeze; at 2,100,000,000 the server stops"
        found.append(Finding("freeze", "wrong", what, "VACUUM (FREEZE), and see what hinders it"))
    return found


async def _tables(db: TableConnection) -> Iterable[Finding]:
    found = []
    names = [db.names.fill(f"{{{name}}}") for name in HOT]
    for table, live, dead, disabled in await db.rows(_TABLES, names):
        if disabled:
            what = f"autovacuum is off for table {table}"
            remedy = f"ALTER TABLE {db.names.schema}.{table} RESET (autovacuum_enabled)"
            found.append(Finding("vacuum", "slow", what, remedy))
        if dead > DEAD and dead > 10 * live:
            what = f"table {table} has {dead:,} dead rows, and {live:,} that live: claims are slow"
            remedy = f"end what holds them (see horizon), then: VACUUM {db.names.schema}.{table}"
            found.append(Finding("vacuum", "slow", what, remedy))
    return found


async def _connections(db: TableConnection) -> Iterable[Finding]:
    count, most = await db.row(_CONNECTIONS)
    if count <= FULL * most:
        return []
    what = f"{count:,} of {most:,} connections are taken: when all are, workers cannot come back"
    remedy = (
        "fewer for each worker (?connections=2), PgBouncer between, or a larger max_connections"
    )
    return [Finding("connections", "wrong", what, remedy)]


async def _leases(db: TableConnection) -> Iterable[Finding]:
    count: Any = await db.value(_LOST, db.now, LATE)
    if not count:
        return []
    what = f"{count:,} events are claimed by workers that are gone, under expired leases"
    return [
        Finding(
            "leases", "wrong", what, "start a worker on their queue: it returns them to pending"
        )
    ]
