"""What is held against each other at the end: the journal, the file, and the file's own audit.

The audit is a table of the tests' own in the file, filled by triggers inside the transactions of
the workers: so it says what was on record, and in which order, whoever was killed when.
"""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import apsw
from crash.journal import Line, read

# The product counts what its statements on `finished`, and deletions from `lease`, have changed:
# no trigger there.
_TRIGGERS = """
CREATE TABLE audit (seq INTEGER PRIMARY KEY, what TEXT, number INT, attempt INT, extra);
CREATE INDEX audited ON audit (number, attempt, what);
CREATE TRIGGER leased AFTER INSERT ON lease BEGIN
    INSERT INTO audit VALUES (NULL, 'leased', new.number, new.attempt, new.until); END;
CREATE TRIGGER renewed AFTER UPDATE OF until ON lease BEGIN
    INSERT INTO audit VALUES (NULL, 'renewed', new.number, new.attempt, new.until); END;
CREATE TRIGGER ended AFTER UPDATE ON queue BEGIN
    INSERT INTO audit SELECT NULL, 'ended', number, attempt, status FROM finished
    WHERE NOT EXISTS (SELECT 1 FROM audit WHERE what = 'ended'
        AND audit.number = finished.number AND audit.attempt = finished.attempt); END;
"""

_TABLES = {"pending": "waiting", "processing": "lease"}
_ENDS = ("completed", "failed", "cancelled", "skipped", "aborted")


def install(path: Path) -> None:
    """Put the audit into a file that has its schema."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(30_000)
    connection.execute(f"BEGIN IMMEDIATE; {_TRIGGERS} COMMIT")
    connection.close()


@dataclass
class Findings:
    """What came out.

    Attributes:
        events, attempts, interrupted: How many there were.
        order: The numbers of what was claimed, in the order of the claims.
        lost, twice, overlapping, wrong: What should not be.
    """

    events: int = 0
    attempts: int = 0
    interrupted: int = 0
    order: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    overlapping: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def troubles(self) -> list[str]:
        """Everything that should not be."""
        named = {"lost": self.lost, "completed twice": self.twice, "overlap": self.overlapping}
        found = [f"{name}: {each}" for name, those in named.items() for each in those]
        return found + self.wrong


def audit(path: Path, journal: Path) -> Findings:
    """Hold a file, on which nobody works any more, against its journal."""
    found, lines = Findings(), read(journal)
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        _check_file(db, found)
        numbers = {str(UUID(bytes=uid)): n for n, uid in db.execute("SELECT number, id FROM event")}
        found.events = len(numbers)
        _check_kept(db, lines, numbers, found)
        _check_attempts(db, lines, numbers, found)
        _check_overlaps(db, lines, numbers, found)
    finally:
        db.close()
    return found


def _check_file(db: apsw.Connection, found: Findings) -> None:
    """SQLite's own checks; each event in one table; the counts as the tables have it."""
    for pragma in ("integrity_check", "foreign_key_check"):
        answer = [row for row in db.execute(f"PRAGMA {pragma}") if row != ("ok",)]
        found.wrong += [f"{pragma}: {row}" for row in answer]
    places = Counter(
        n for table in ("waiting", "lease", "finished") for (n,) in _all(db, "number", table)
    )
    events = {n for (n,) in _all(db, "number", "event")}
    if set(places) != events or any(n != 1 for n in places.values()):
        found.wrong.append("an event is in no table, or in two")
    if left := _all(db, "name", "worker"):
        found.wrong.append(f"workers are on the list that are gone: {left}")
    columns = ", ".join(("number", *_TABLES, *_ENDS))
    for queue, *kept in db.execute(f"SELECT {columns} FROM queue"):
        counted = [
            db.execute(f"SELECT count(*) FROM {table} WHERE queue = ?", (queue,)).get
            for table in _TABLES.values()
        ]
        of = "SELECT count(*) FROM finished WHERE queue = ? AND status = ?"
        counted += [db.execute(of, (queue, status)).get for status in _ENDS]
        if kept != counted:
            found.wrong.append(f"queue {queue} counts {kept}, the tables {counted}")


def _all(db: apsw.Connection, columns: str, table: str) -> list[tuple]:
    return db.execute(f"SELECT {columns} FROM {table}").fetchall()


def _check_kept(
    db: apsw.Connection, lines: list[Line], numbers: dict[str, int], found: Findings
) -> None:
    """What was acknowledged is there, and everything has been completed once."""
    for line in lines:
        if line.what == "appended" and line.event not in numbers:
            found.lost.append(f"event {line.event}, acknowledged to {line.pid}, is not there")
    ended = dict(_all(db, "number, status", "finished"))
    attempts = dict(_all(db, "number, attempt", "finished"))
    for uid, number in numbers.items():
        if ended.get(number) != "completed":
            found.wrong.append(f"event {uid} is {ended.get(number, 'not ended')}")
    told: Counter[str] = Counter()
    for line in lines:
        if line.what == "settled":
            told[line.event] += 1
            if attempts.get(numbers.get(line.event, 0)) != line.attempt:
                found.lost.append(f"the completion {line} was acknowledged, and is not there")
    found.twice += [f"event {uid}, as was told" for uid, times in told.items() if times > 1]
    query = "SELECT number, count(*) FROM audit WHERE what = 'ended' GROUP BY number"
    found.twice += [f"event {n}, on record" for n, times in db.execute(query) if times > 1]


def _check_attempts(
    db: apsw.Connection, lines: list[Line], numbers: dict[str, int], found: Findings
) -> None:
    """Attempts increase by one from claim to claim; what was cut short is an interruption.

    What was to fail has failed so often, and each of these attempts is kept.
    """
    last: Counter[int] = Counter()
    query = "SELECT number, attempt FROM audit WHERE what = 'leased' ORDER BY seq"
    for number, attempt in db.execute(query):
        if attempt != last[number] + 1:
            found.wrong.append(f"attempt {attempt} of event {number} follows {last[number]}")
        last[number] = attempt
        found.order.append(number)
    slips = dict(_all(db, "number, json_extract(payload, '$.slips')", "event"))
    columns = (
        "number, attempt, tries, denials, interruptions, ifnull(json_array_length(attempts), 0)"
    )
    for number, attempt, tries, denials, interruptions, kept in _all(db, columns, "finished"):
        found.attempts += attempt
        found.interrupted += interruptions
        said = tries, kept, denials, interruptions, attempt
        slipped = slips[number]
        if said != (slipped, slipped, 0, attempt - 1 - slipped, last[number]):
            found.wrong.append(
                f"event {number} has {attempt} attempts, {last[number]} by the audit, {tries} "
                f"tries of {slipped}, {kept} of them kept, {denials} denials, "
                f"{interruptions} interruptions"
            )
    starts = Counter((x.event, x.attempt) for x in lines if x.what == "start")
    found.wrong += [f"{each} started {n} times" for each, n in starts.items() if n > 1]
    finishes = {(x.event, x.attempt) for x in lines if x.what == "finish"}
    attempts = dict(_all(db, "number, attempt", "finished"))
    for uid, number in numbers.items():
        if (uid, attempts.get(number)) not in finishes:
            found.wrong.append(f"event {uid}: the attempt on record never finished")


def _check_overlaps(
    db: apsw.Connection, lines: list[Line], numbers: dict[str, int], found: Findings
) -> None:
    """No attempt starts while one before it runs, and holds its lease, in a living process."""
    # Where `until` is 0 somebody took the holder for dead: the journal knows whether it was.
    query = "SELECT number, attempt, max(extra) FROM audit WHERE what <> 'ended' GROUP BY 1, 2"
    until = {(number, attempt): at for number, attempt, at in db.execute(query)}
    since = time.time() - time.monotonic()
    finishes = {(x.event, x.attempt): x.at for x in lines if x.what == "finish"}
    # The parent notes a kill before it sends it: what the worker still wrote, it lived to write.
    said = {line.pid: line.at for line in lines if line.what != "kill"}
    killed = {line.pid: line.at for line in lines if line.what in ("kill", "point")}
    deaths = {pid: max(at, said.get(pid, at)) for pid, at in killed.items()}
    runs: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.what == "start":
            runs[line.event].append(line)
    for uid, starts in runs.items():
        starts.sort(key=lambda line: line.attempt)
        for one, other in pairwise(starts):
            death = deaths.get(one.pid, float("inf"))
            lapse = until[numbers[uid], one.attempt] - since
            end = min(finishes.get((uid, one.attempt), float("inf")), death, lapse)
            if other.at < end:
                found.overlapping.append(
                    f"event {uid}: attempt {other.attempt} in {other.pid} began "
                    f"{end - other.at:.3f} s before the end of attempt {one.attempt} in {one.pid}"
                )
