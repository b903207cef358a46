"""Tables of live progress: ``progress`` and ``chunk``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import apsw

from ..sql.rows import ProgressRow

if TYPE_CHECKING:
    from .rows import Rows

__all__ = ("ProgressTables", "WriteProgress")


PIECES: Final = 8
"""Maximum number of rows of chunks per read."""


@dataclass(slots=True)
class WriteProgress:
    """Step that writes the progress of attempts and deletes that of ended attempts."""

    progress: Sequence[ProgressRow]
    ended: Sequence[tuple[int, int]]

    def __call__(self, rows: Rows) -> None:
        rows.progress.write(self.progress)
        rows.progress.clear(self.ended)


class ProgressTables:
    """Statements on the tables of live progress, over any connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def write(self, progress: Sequence[ProgressRow]) -> None:
        """Write progress rows; attempts without a lease are skipped."""
        self._db.executemany(
            "INSERT INTO lionpride_progress (number, attempt, fraction, note, chunks) SELECT ?1, "
            "?2, ?3, ?4, ?5 "
            "FROM lionpride_lease WHERE number = ?1 AND attempt = ?2 "
            "ON CONFLICT (number) DO UPDATE SET attempt = excluded.attempt, "
            "fraction = excluded.fraction, note = excluded.note, chunks = excluded.chunks",
            [one[:5] for one in progress],
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO lionpride_chunk (number, attempt, first, chunks) SELECT ?1, "
            "?2, ?3, ?4 "
            "FROM lionpride_lease WHERE number = ?1 AND attempt = ?2",
            [
                (one.number, one.attempt, one.first, one.chunks)
                for one in progress
                if one.chunks is not None
            ],
        )

    def clear(self, attempts: Sequence[tuple[int, int]]) -> None:
        """Delete the progress of attempts, given by number and attempt."""
        for table in ("lionpride_progress", "lionpride_chunk"):
            query = f"DELETE FROM {table} WHERE number = ? AND attempt = ?"
            self._db.executemany(query, attempts)

    def numbers(self) -> set[int]:
        """Return the numbers of the events that have progress."""
        return {number for (number,) in self._db.execute("SELECT number FROM lionpride_progress")}

    def of(self, number: int, attempt: int) -> tuple[float | None, str | None, int] | None:
        """Return fraction, note and number of chunks of an attempt; None if there is no row."""
        query = (
            "SELECT fraction, note, chunks FROM lionpride_progress WHERE number = ? AND attempt = ?"
        )
        row: Any = self._db.execute(query, (number, attempt)).fetchone()
        return row  # type: ignore[no-any-return]

    def chunks(self, number: int, attempt: int, first: int) -> tuple[int, list[str]] | None:
        """Return the running attempt of an event, and chunks of it as JSON arrays.

        Args:
            number: The number of the event.
            attempt: The attempt whose chunks the caller has.
            first: The number of these chunks.
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
