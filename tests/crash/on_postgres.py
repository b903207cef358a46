"""A base of the crash tests in PostgreSQL: where the workers meet, and what is on record there.

As in a file, the audit is a table of the tests' own that triggers fill inside the transactions of
the workers. A lease holds as long as its own time or its worker's sign of life says.
"""

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
from crash.dependents import Dependents
from crash.facts import ENDS, LEASE, Facts, Finished
from crash.points import Reached
from stores.homes import Home, aside
from stores.postgres.hostile import EVIL, HOSTILE
from stores.postgres.wire import Wire, wire_to

from tools.postgres_server import GIVEN, USER, Server

_AUDIT = """
CREATE TABLE {s}.audit (
    seq bigint GENERATED ALWAYS AS IDENTITY, what text, number bigint, attempt integer,
    worker text, until double precision,
    at double precision DEFAULT extract(epoch FROM clock_timestamp())
);
CREATE INDEX ON {s}.audit (what, number, attempt);
CREATE INDEX ON {s}.audit (worker, seq);
CREATE FUNCTION {s}.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'worker' THEN
        INSERT INTO {s}.audit (what, worker, until) VALUES (TG_ARGV[0], new.name, new.leases_until);
    ELSIF TG_TABLE_NAME = 'lease' THEN
        INSERT INTO {s}.audit (what, number, attempt, worker, until)
        VALUES (TG_ARGV[0], new.number, new.attempt, new.worker, new.leased_until);
    ELSE
        INSERT INTO {s}.audit (what, number, attempt)
        VALUES (TG_ARGV[0], new.number, new.attempt);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER leased AFTER INSERT ON {s}.lease FOR EACH ROW EXECUTE FUNCTION {s}.note('leased');
CREATE TRIGGER renewed AFTER UPDATE OF leased_until ON {s}.lease
    FOR EACH ROW EXECUTE FUNCTION {s}.note('renewed');
CREATE TRIGGER ended AFTER INSERT ON {s}.finished
    FOR EACH ROW EXECUTE FUNCTION {s}.note('ended');
CREATE TRIGGER cancelled AFTER UPDATE OF cancel_requested ON {s}.lease
    FOR EACH ROW EXECUTE FUNCTION {s}.note('cancel');
CREATE TRIGGER beat AFTER INSERT OR UPDATE OF leases_until ON {s}.worker
    FOR EACH ROW EXECUTE FUNCTION {s}.note('beat');
"""
_SLOW = """
CREATE FUNCTION {s}.take_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('crash.drawn', true) IS DISTINCT FROM txid_current()::text THEN
        PERFORM set_config('crash.drawn', txid_current()::text, false);
        IF random() < 0.1 THEN
            PERFORM pg_sleep(random() * 0.5);
        END IF;
    END IF;
    RETURN NULL;
END $$;
"""
_SLOW_ON = """
CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE OR DELETE ON {s}.{table}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {s}.take_time();
"""
_UNTIL = """
SELECT l.number, l.attempt, greatest(max(l.until), max(beat.until))
FROM {s}.audit l LEFT JOIN {s}.audit next
    ON next.what = 'leased' AND next.number = l.number AND next.attempt = l.attempt + 1
LEFT JOIN LATERAL (
    SELECT max(b.until) AS until FROM {s}.audit b
    WHERE b.what = 'beat' AND b.worker = l.worker AND b.seq < coalesce(next.seq, b.seq + 1)
) beat ON true
WHERE l.what IN ('leased', 'renewed') GROUP BY 1, 2
"""
_ENDS = "SELECT number, count(*), min(at) FROM {s}.audit WHERE what = 'ended' GROUP BY number"
_FINISHED = """
SELECT number, status, attempt, failures, denials, interruptions,
    coalesce(json_array_length(attempts::json), 0)
FROM {s}.finished
"""
_PLACES = """
SELECT number FROM {s}.ready UNION ALL SELECT number FROM {s}.lease
UNION ALL SELECT number FROM {s}.finished
"""
_KEPT = f"SELECT queue, {', '.join(f'sum({each})' for each in ('pending', 'processing', *ENDS))} "
_BROKEN = """
SELECT c.relname, public.bt_index_check(c.oid, true) FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am a ON a.oid = c.relam
WHERE n.nspname = $1 AND c.relkind = 'i' AND a.amname = 'btree'
"""
_numbers = count(1)


class OnPostgres:
    """The tables of one schema, which are not made yet; named as nothing else is."""

    name = "postgres"
    path: Path | None = None
    points = (
        "creation",
        *(
            f"{deed}: {when}"
            for deed in (
                *("append", "claim", "settle", "takeover", "reap", "resolve", "continue"),
                "commit",
            )
            for when in ("before", "after")
        ),
        "attempt",
        "finished",
        "settle: told",
        "renewal",
    )

    def __init__(self, _folder: Path, _name: str) -> None:
        self._schema = f"crash_{os.getpid()}_{next(_numbers)}"
        Home.made.append(self._schema)  # it is dropped with the others
        self._server = Home().url
        self._undo: list[str] = []
        self._pooled = False
        self._own: Server | None = None

    def befall(self, chosen: Collection[str], seed: int) -> None:
        """Have the publication and the role of a campaign, on a server of our own."""
        if os.environ.get(GIVEN):
            return
        if "crashes" in chosen:
            self._own = Server()
            self._server = self._own.url
        name = self._schema
        if "publication" in chosen:
            self._do("execute", f"CREATE PUBLICATION {name} FOR ALL TABLES")
            self._undo.append(f"DROP PUBLICATION {name}")
        if "settings" in chosen:
            self._do("execute", f"{EVIL}; CREATE ROLE {name} SUPERUSER LOGIN")
            for setting, value in HOSTILE.items():
                self._do("execute", f"ALTER ROLE {name} SET {setting} = {value}")
            self._undo.append(f"REASSIGN OWNED BY {name} TO {USER}; DROP ROLE {name}")
            self._server = self._server.replace(f"//{USER}@", f"//{name}@")
            self._pooled = seed % 2 == 0

    def relieve(self) -> None:
        """Undo what was done to the database, but for the schema."""
        while self._undo:
            self._do("execute", self._undo.pop())
        if self._own is not None:
            self._own.close()

    async def crash(self, seconds: float) -> None:
        """Have the server crash, if it is our own, and start again after so many seconds."""
        if self._own is not None:
            await asyncio.to_thread(self._own.stop, "immediate")
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self._own.start)

    @asynccontextmanager
    async def cuttable(self) -> AsyncIterator[Wire]:
        """Have connections that can be cut, and a tenth of the commits take up to half a second."""
        self._do("execute", _SLOW)
        for table in ("event", "lease", "finished"):
            self._do("execute", _SLOW_ON.replace("{table}", table))
        server = self._server
        async with wire_to(server) as wire:
            self._server = wire.url
            try:
                yield wire
            finally:
                self._server = server

    def url(self, lease: float = LEASE) -> str:
        more = f"{'&' if '?' in self._server else '?'}lionpride_schema={self._schema}"
        more += "&lionpride_pgbouncer=on" * self._pooled
        return f"{self._server}{more}&lionpride_lease={lease:g}"

    def install(self) -> None:
        """Put the audit beside the tables."""
        self._do("execute", _AUDIT)

    def facts(self) -> Facts:
        """What the tables say, on which nobody works any more."""
        s, ended = "{s}", self._ask(_ENDS)
        facts = Facts(
            numbers={str(uid): n for n, uid in self._ask(f"SELECT number, id FROM {s}.event")},
            slips=dict(
                self._ask(
                    f"SELECT number, coalesce(payload::json ->> 'slips', '0')::int FROM {s}.event"
                )
            ),
            finished=[Finished(*row) for row in self._ask(_FINISHED)],
            claims=self._ask(
                f"SELECT number, attempt FROM {s}.audit WHERE what = 'leased' ORDER BY seq"
            ),
            ends=Counter({number: times for number, times, _ in ended}),
            until={(number, attempt): at for number, attempt, at in self._ask(_UNTIL)},
            cancels=dict(self._ask(f"SELECT number, attempt FROM {s}.audit WHERE what = 'cancel'")),
            ended={number: at for number, _, at in ended},
            dependents=Dependents.read(
                self._ask(f"SELECT parent, child, condition, met FROM {s}.dependency"),
                self._ask(f"SELECT number, next FROM {s}.continuation"),
                self._ask(f"SELECT number, payload FROM {s}.event"),
                self._ask(f"SELECT number, result FROM {s}.finished"),
                self._ask(f"SELECT what, number, seq FROM {s}.audit ORDER BY seq"),
            ),
        )
        self._check(facts)
        return facts

    def _check(self, facts: Facts) -> None:
        """Each event in one table; the counts as the tables have it; sound indexes."""
        s = "{s}"
        events = self._ask(f"SELECT number FROM {s}.event")
        facts.check_places((n for (n,) in self._ask(_PLACES)), (n for (n,) in events))
        facts.check_gone(self._ask(f"SELECT name FROM {s}.worker"))
        for queue, *kept in self._ask(f"{_KEPT} FROM {s}.counter GROUP BY queue"):
            counted = [
                self._value(f"SELECT count(*) FROM {s}.{table} WHERE queue = $1", queue)
                for table in ("ready", "lease")
            ]
            of = f"SELECT count(*) FROM {s}.finished WHERE queue = $1 AND status = $2"
            counted += [self._value(of, queue, status) for status in ENDS]
            facts.check_counts(queue, [int(each) for each in kept], counted)
        if self._value("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck')"):
            try:
                self._ask(_BROKEN, self._schema)
            except asyncpg.PostgresError as error:
                facts.wrong.append(f"an index is broken: {error}")

    def _ask(self, text: str, *bound: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._do("fetch", text, *bound)]

    def _value(self, text: str, *bound: object) -> Any:
        return self._do("fetchval", text, *bound)

    def _do(self, how: str, text: str, *bound: object) -> Any:
        one, text = aside(), text.replace("{s}", self._schema)
        if self._own is None:
            return one.do(getattr(one.connection, how)(text, *bound))
        return one.do(_once(self._own.url, how, text, *bound))


async def _once(url: str, how: str, text: str, *bound: object) -> Any:
    """Ask a server over a connection that is closed again."""
    connection = await asyncpg.connect(url)
    try:
        return await getattr(connection, how)(text, *bound)
    finally:
        await connection.close()


_DOES = {
    r'INSERT INTO "\w+"\."event"': "append",
    r'INSERT INTO "\w+"\."lease"': "claim",
    r'INSERT INTO "\w+"\."finished"': "settle",
    r'UPDATE "\w+"\."lease" SET leased_until = 0': "takeover",
    r'DELETE FROM "\w+"\."lease" WHERE number = ANY': "reap",
    r'DELETE FROM "\w+"\."parent_change"': "resolve",
    r'INSERT INTO "\w+"\."continuation"': "continue",
    r"^COMMIT": "commit",
}
"""What a statement is for, by what is in it."""


def watch(reached: Reached) -> None:
    """Report what connections are asked to do, and when they have done it, in whatever thread."""
    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        setattr(asyncpg.Connection, name, _watched(getattr(asyncpg.Connection, name), reached))


def _watched(asked: Callable[..., Any], reached: Reached) -> Callable[..., Any]:
    async def watched(self: Any, text: str, *bound: Any, **how: Any) -> Any:
        reached("creation")
        if "SET heartbeat_at = " in text and text.lstrip().startswith("UPDATE"):
            reached("renewal")
        does = [name for pattern, name in _DOES.items() if re.search(pattern, text)]
        for name in does:
            reached(f"{name}: before")
        answer = await asked(self, text, *bound, **how)
        for name in does:
            reached(f"{name}: after")
        return answer

    return watched
