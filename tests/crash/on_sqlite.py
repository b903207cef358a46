"""A base of the crash tests in an SQLite file: where the workers meet, and what is on record there.

The audit is a table of the tests' own in the file, filled by triggers inside the transactions of
the workers: so it says what was on record, and in which order, whoever was killed when.
"""

from collections import Counter
from pathlib import Path
from uuid import UUID

import apsw
from crash.dependents import Dependents
from crash.facts import ENDS, LEASE, Facts, Finished
from crash.points_on_sqlite import POINTS

_TRIGGERS = """
CREATE TABLE audit (seq INTEGER PRIMARY KEY, what TEXT, number INT, attempt INT, extra,
    at REAL DEFAULT (unixepoch('subsec')));
CREATE INDEX audited ON audit (number, attempt, what);
CREATE TRIGGER leased AFTER INSERT ON lionpride_lease BEGIN
    INSERT INTO audit (what, number, attempt, extra)
    VALUES ('leased', new.number, new.attempt, new.leased_until); END;
CREATE TRIGGER renewed AFTER UPDATE OF leased_until ON lionpride_lease BEGIN
    INSERT INTO audit (what, number, attempt, extra)
    VALUES ('renewed', new.number, new.attempt, new.leased_until); END;
CREATE TRIGGER beat AFTER UPDATE OF leases_until ON lionpride_worker BEGIN
    INSERT INTO audit (what, number, attempt, extra)
    SELECT 'renewed', number, attempt, new.leases_until FROM lionpride_lease
    WHERE worker = new.name; END;
CREATE TRIGGER ended AFTER INSERT ON lionpride_finished BEGIN
    INSERT INTO audit (what, number, attempt, extra)
    VALUES ('ended', new.number, new.attempt, new.status); END;
CREATE TRIGGER cancelled AFTER UPDATE OF cancel_requested ON lionpride_lease BEGIN
    INSERT INTO audit (what, number, attempt) VALUES ('cancel', new.number, new.attempt); END;
"""

_TABLES = {"pending": "lionpride_ready", "processing": "lionpride_lease"}


class OnSqlite:
    """One file."""

    name = "sqlite"
    points = tuple(POINTS)

    def __init__(self, folder: Path, name: str) -> None:
        self.path: Path | None = folder / f"{name}.db"

    def url(self, lease: float = LEASE) -> str:
        return f"sqlite:///{self.path}?lease={lease:g}"

    def install(self) -> None:
        """Put the audit into the file, which has its schema."""
        connection = apsw.Connection(str(self.path))
        connection.set_busy_timeout(30_000)
        connection.execute(f"BEGIN IMMEDIATE; {_TRIGGERS} COMMIT")
        connection.close()

    def facts(self) -> Facts:
        """What the file says, on which nobody works any more."""
        db = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            return _facts(db)
        finally:
            db.close()


def _facts(db: apsw.Connection) -> Facts:
    columns = (
        "number, status, attempt, failures, denials, interruptions, "
        "ifnull(json_array_length(attempts), 0)"
    )
    # Where `leased_until` is 0 somebody took the holder for dead: the journal knows whether it was.
    renewed = (
        "SELECT number, attempt, max(at) FROM audit WHERE what <> 'ended' AND extra > 0 "
        "GROUP BY 1, 2"
    )
    ends = "SELECT number, count(*), min(at) FROM audit WHERE what = 'ended' GROUP BY number"
    ended = db.execute(ends).fetchall()
    claims = "SELECT number, attempt FROM audit WHERE what = 'leased' ORDER BY seq"
    facts = Facts(
        numbers={
            str(UUID(bytes=uid)): number
            for number, uid in _all(db, "number, id", "lionpride_event")
        },
        slips=dict(
            _all(db, "number, coalesce(json_extract(payload, '$.slips'), 0)", "lionpride_event")
        ),
        finished=[Finished(*row) for row in _all(db, columns, "lionpride_finished")],
        claims=db.execute(claims).fetchall(),
        ends=Counter({number: times for number, times, _ in ended}),
        renewed={(number, attempt): at for number, attempt, at in db.execute(renewed)},
        ended={number: at for number, _, at in ended},
        cancels=dict(db.execute("SELECT number, attempt FROM audit WHERE what = 'cancel'")),
        dependents=Dependents.read(
            _all(db, "parent, child, condition, met", "lionpride_dependency"),
            _all(db, "number, next", "lionpride_continuation"),
            _all(db, "number, payload", "lionpride_event"),
            _all(db, "number, result", "lionpride_finished"),
            _all(db, "what, number, seq", "audit ORDER BY seq"),
        ),
    )
    _check(db, facts)
    return facts


def _check(db: apsw.Connection, facts: Facts) -> None:
    """SQLite's own checks; each event in one table; the counts as the tables have it."""
    for pragma in ("integrity_check", "foreign_key_check"):
        answer = [row for row in db.execute(f"PRAGMA {pragma}") if row != ("ok",)]
        facts.wrong += [f"{pragma}: {row}" for row in answer]
    tables = ("lionpride_ready", "lionpride_lease", "lionpride_finished")
    facts.check_places(
        (number for table in tables for (number,) in _all(db, "number", table)),
        (number for (number,) in _all(db, "number", "lionpride_event")),
    )
    facts.check_gone(_all(db, "name", "lionpride_worker"))
    columns = ", ".join(("number", *_TABLES, *ENDS))
    for queue, *kept in db.execute(f"SELECT {columns} FROM lionpride_queue"):
        counted = [
            db.execute(f"SELECT count(*) FROM {table} WHERE queue = ?", (queue,)).get
            for table in _TABLES.values()
        ]
        of = "SELECT count(*) FROM lionpride_finished WHERE queue = ? AND status = ?"
        counted += [db.execute(of, (queue, status)).get for status in ENDS]
        facts.check_counts(queue, kept, counted)


def _all(db: apsw.Connection, columns: str, table: str) -> list[tuple]:
    return db.execute(f"SELECT {columns} FROM {table}").fetchall()
