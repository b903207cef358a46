"""Where an event goes, and the counts that go with it: back to wait, or on record as ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from ...model.execution import EventStatus
from ..sql.forms import PENDING, State
from .link import Db

__all__ = ("count", "finish", "let_wait")

_WAIT: Final = """
INSERT INTO {ready} (queue, due, priority, number, attempt, failures, denials, interruptions,
    duration, retryable, result, attempts, expires)
SELECT $1, * FROM unnest(
    $2::float8[], $3::float8[], $4::bigint[], $5::int[], $6::int[], $7::int[], $8::int[],
    $9::float8[], $10::int[], $11::text[], $12::text[], $13::float8[]
)
"""
_FINISH: Final = """
INSERT INTO {finished} (number, queue, status, finished_at, attempt, failures, denials,
    interruptions, duration, retryable, result, attempts)
SELECT number, $2, status,
    CASE WHEN finished_at > 0 THEN finished_at ELSE (SELECT {now}) + place * 1e-6 END,
    attempt, failures, denials, interruptions, duration, retryable, result, attempts
FROM unnest(
    $3::bigint[], $4::text[], $5::float8[], $6::int[], $7::int[], $8::int[], $9::int[],
    $10::float8[], $11::int[], $12::text[], $13::text[]
) WITH ORDINALITY AS given (
    number, status, finished_at, attempt, failures, denials, interruptions, duration, retryable,
    result, attempts, place
)
"""


async def let_wait(db: Db, queue: int, entries: Sequence[tuple[float, float, int, State]]) -> None:
    """Let events wait: due, priority, number, state."""
    if entries:
        *where, states = zip(*entries, strict=True)
        await db.run(_WAIT, queue, *where, *zip(*states, strict=True))
        await count(db, queue, {PENDING: len(entries)})


async def finish(db: Db, queue: int, entries: Sequence[tuple[int, str, float, State]]) -> None:
    """Put ended events on record: number, status, when (0: now), state."""
    if entries:
        *where, states = zip(*entries, strict=True)
        columns = list(zip(*states, strict=True))[:-1]
        await db.run(_FINISH, db.ending, queue, *where, *columns)
        await count(db, queue, Counter(where[1]))


async def count(db: Db, queue: int, changes: Mapping[str, int]) -> None:
    """Change how many events are in which status."""
    by = [changes.get(status, 0) for status in _STATUSES]
    await db.run(_COUNT, queue, db.shard, *by)


_STATUSES: Final = [status.value for status in EventStatus]
_COUNT: Final = f"""
UPDATE {{counter}} SET {", ".join(f"{s} = {s} + ${n}" for n, s in enumerate(_STATUSES, 3))}
WHERE queue = $1 AND shard = $2
"""
