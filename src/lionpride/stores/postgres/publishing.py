"""What running attempts show of themselves to other processes: written here, and read there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..sql.forms import News
from . import reading
from .link import Db
from .news import PUBLISHED
from .watching import Watching

__all__ = ("Publish", "Publishing")

_LIVE: Final = """
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
_OVER: Final = (
    "DELETE FROM {{{0}}} p USING unnest($1::bigint[], $2::int[]) AS n (number, attempt) "
    "WHERE p.number BETWEEN n.number AND n.number AND p.attempt = n.attempt"
)


@dataclass(slots=True)
class Publish:
    """A step: write what is new of attempts, and take away what was written of those that ended."""

    news: Sequence[News]
    over: Sequence[tuple[int, int]]

    async def __call__(self, db: Db) -> None:
        async with db.transaction():
            if self.news:
                await db.run(_LIVE, *_columns([_live(one) for one in self.news]))
            pieces = [
                (one.number, one.attempt, one.first, one.chunks)
                for one in self.news
                if one.chunks is not None
            ]
            if pieces:
                await db.run(_CHUNK, *_columns(pieces))
            if self.over:
                for table in ("progress", "chunk"):
                    await db.run(_OVER.format(table), *_columns(self.over))


def _live(news: News) -> tuple[Any, ...]:
    """A row for ``live``; a note may have a NUL in it, which no text has on the server."""
    note = None if news.note is None else news.note.replace("\0", "\ufffd")
    return (news.number, news.attempt, news.fraction, note, news.yielded)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


class Publishing(Watching):
    """The part of ``PostgresStore`` that lets others follow what runs here."""

    def _publish(
        self, news: Sequence[News], over: Sequence[tuple[int, int]]
    ) -> asyncio.Future[Any]:
        return self._ask(Publish(news, over), lambda _: self._herald.tell(PUBLISHED))

    async def close(self) -> None:
        if self._opened is not None and self._opened.is_ours:
            await self._telling.stop()
        await super().close()

    async def _chunks(self, number: int, attempt: int, first: int) -> tuple[int, list[Any]] | None:
        return await self._read(lambda db: reading.published_chunks(db, number, attempt, first))
