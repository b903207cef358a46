"""What running attempts show of themselves to other processes: the two tables for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import apsw

from ..sql.forms import News

if TYPE_CHECKING:
    from .rows import Rows

__all__ = ("Publish", "Published")

PIECES: Final = 8
"""Rows of chunks that are read at a time."""

_OVER: Final = (
    "NOT EXISTS (SELECT 1 FROM lionpride_lease l WHERE l.number = {0}.number AND "
    "l.attempt = {0}.attempt)"
)


@dataclass(slots=True)
class Publish:
    """A step: write what is new of attempts, and take away what was written of those that ended."""

    news: Sequence[News]
    over: Sequence[tuple[int, int]]

    def __call__(self, rows: Rows) -> None:
        rows.published.write(self.news)
        rows.published.clear(self.over)


class Published:
    """The tables ``live`` and ``chunk``, over a connection that may be anyone's."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def write(self, news: Sequence[News]) -> None:
        """Write what is new."""
        self._db.executemany(
            "INSERT INTO lionpride_progress (number, attempt, fraction, note, chunks) SELECT ?1, "
            "?2, ?3, ?4, ?5 "
            "FROM lionpride_lease WHERE number = ?1 AND attempt = ?2 "
            "ON CONFLICT (number) DO UPDATE SET attempt = excluded.attempt, "
            "fraction = excluded.fraction, note = excluded.note, chunks = excluded.chunks",
            [one[:5] for one in news],
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO lionpride_chunk (number, attempt, first, chunks) SELECT ?1, "
            "?2, ?3, ?4 "
            "FROM lionpride_lease WHERE number = ?1 AND attempt = ?2",
            [
                (one.number, one.attempt, one.first, one.chunks)
                for one in news
                if one.chunks is not None
            ],
        )

    def clear(self, attempts: Sequence[tuple[int, int]]) -> None:
        """Take away what was written of attempts that have ended."""
        for table in ("lionpride_progress", "lionpride_chunk"):
            query = f"DELETE FROM {table} WHERE number = ? AND attempt = ?"
            self._db.executemany(query, attempts)

    def clear_orphans(self) -> None:
        """Take away what was written of attempts whose process did not live to do so."""
        for table in ("lionpride_progress", "lionpride_chunk"):
            self._db.execute(f"DELETE FROM {table} WHERE {_OVER.format(table)}")

    def numbers(self) -> set[int]:
        """Of what something is known."""
        return {number for (number,) in self._db.execute("SELECT number FROM lionpride_progress")}

    def of(self, number: int, attempt: int) -> tuple[float | None, str | None, int] | None:
        """Fraction, note and number of chunks of an attempt; None if nothing is known."""
        query = (
            "SELECT fraction, note, chunks FROM lionpride_progress WHERE number = ? AND attempt = ?"
        )
        row: Any = self._db.execute(query, (number, attempt)).fetchone()
        return row  # type: ignore[no-any-return]

    def chunks(self, number: int, attempt: int, first: int) -> tuple[int, list[str]] | None:
        """The attempt of an event that was written last, and chunks of it, as JSON arrays.

        Args:
            number: Which event.
            attempt: The attempt whose chunks are known.
            first: How many of them are.
        """
        query = "SELECT attempt FROM lionpride_progress WHERE number = ?"
        written: int | None = self._db.execute(query, (number,)).get
        if written is None:
            return None
        query = (
            "SELECT chunks FROM lionpride_chunk WHERE number = ? AND attempt = ? AND first >= ? "
            "ORDER BY first LIMIT ?"
        )
        bound = (number, written, first if written == attempt else 0, PIECES)
        return written, [text for (text,) in self._db.execute(query, bound)]
