"""Tables of live progress: ``progress`` and ``chunk``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..sql.rows import ProgressRow
from .link import Db

__all__ = ("write_progress",)


_PROGRESS: Final = """
INSERT INTO {progress} (number, attempt, fraction, note, chunks)
SELECT n.number, n.attempt, n.fraction, n.note, n.chunks
FROM unnest($1::bigint[], $2::int[], $3::float8[], $4::text[], $5::int[])
    AS n (number, attempt, fraction, note, chunks)
JOIN {lease} l ON l.number BETWEEN n.number AND n.number AND l.attempt = n.attempt
ON CONFLICT (number) DO UPDATE SET attempt = excluded.attempt, fraction = excluded.fraction,
    note = excluded.note, chunks = excluded.chunks
"""
_CHUNK: Final = """
INSERT INTO {chunk} (number, attempt, first, chunks) SELECT n.number, n.attempt, n.first, n.chunks
FROM unnest($1::bigint[], $2::int[], $3::int[], $4::text[]) AS n (number, attempt, first, chunks)
JOIN {lease} l ON l.number BETWEEN n.number AND n.number AND l.attempt = n.attempt
ON CONFLICT (number, attempt, first) DO UPDATE SET chunks = excluded.chunks
"""
_DELETE: Final = (
    "DELETE FROM {{{0}}} p USING unnest($1::bigint[], $2::int[]) AS n (number, attempt) "
    "WHERE p.number BETWEEN n.number AND n.number AND p.attempt = n.attempt"
)


async def write_progress(
    db: Db, progress: Sequence[ProgressRow], ended: Sequence[tuple[int, int]]
) -> None:
    """Write the progress of attempts, and delete that of ended attempts."""
    async with db.transaction():
        if progress:
            await db.run(_PROGRESS, *_columns([_progress_row(one) for one in progress]))
        chunks = [
            (one.number, one.attempt, one.first, one.chunks)
            for one in progress
            if one.chunks is not None
        ]
        if chunks:
            await db.run(_CHUNK, *_columns(chunks))
        if ended:
            for table in ("progress", "chunk"):
                await db.run(_DELETE.format(table), *_columns(ended))


def _progress_row(one: ProgressRow) -> tuple[Any, ...]:
    """Return the columns of ``progress``; PostgreSQL refuses NUL in a text: it is replaced."""
    note = None if one.note is None else one.note.replace("\0", "\ufffd")
    return (one.number, one.attempt, one.fraction, note, one.yielded)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
