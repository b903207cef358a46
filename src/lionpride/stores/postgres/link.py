"""One conversation with the server after another, each tried again while it cannot be had."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from random import random, randrange
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .errors import REPEAT, is_connection_lost, is_read_only, is_tls_refused, store_error
from .pool import Pool
from .tables import TableNames

if TYPE_CHECKING:
    from .pool import Connection

__all__ = ("OWN_SHARDS", "SHARDS", "Db", "Link", "Step")

T = TypeVar("T")

logger = logging.getLogger("lionpride")

SHARDS: Final = 160
"""Rows over which the counters of a queue are spread.

Two transactions that update the same row wait for each other, so each process picks rows at random.
"""

OWN_SHARDS: Final = 5
"""Rows that one process uses: one for each of its pipelines that write."""

SILENT: Final = 1.0
"""Seconds of trying after which it is said that the server cannot be had."""

QUIET: Final = 30.0
"""Seconds in which that is said once."""

_SOON, _LATER = 0.02, 1.0
"""Seconds until the next try, at first and at last."""


class Db:
    """The tables, over a connection that one step has.

    Attributes:
        names: Their names.
        shard: Which row of the counts it writes.
        again: Whether the step was tried before, and nobody knows what came of that.
    """

    __slots__ = ("_connection", "_door", "_link", "again", "names", "shard")

    def __init__(self, connection: Connection, link: Link, again: bool) -> None:
        self._connection = connection
        self._link = link
        self._door = link.pool.door
        self.names = link.names
        self.shard = link.shard
        self.again = again

    @property
    def now(self) -> float | None:
        """The time for a statement, None for the server's own."""
        return self._link.now()

    def ending(self, n: int) -> float | None:
        """See ``Link.ending``."""
        return self._link.ending(n)

    @property
    def queue(self) -> int:
        """The number of the queue, for who may write."""
        return self._link.queue

    async def make_queue(self) -> int:
        """The number of the queue, which is made if there is none of this name."""
        if number := await self.known_queue():
            return number
        await self.run(_MAKE, self._link.name, SHARDS)
        return await self.known_queue()

    @property
    def queue_name(self) -> str:
        """The name of the queue."""
        return self._link.name

    async def known_queue(self) -> int:
        """The number of the queue; 0 if there is none of this name yet."""
        link = self._link
        if not link.queue:
            link.queue = await self.value(_FIND, link.name) or 0
        return link.queue

    def is_own(self, queue: int) -> bool:
        """Whether a queue's number is that of this one."""
        return queue == self._link.queue

    async def rows(self, text: str, *bound: Any) -> list[Any]:
        """All rows that a statement gives."""
        async with self._door.statement(self._connection):
            found: list[Any] = await self._connection.fetch(self.names.fill(text), *bound)
        return found

    async def row(self, text: str, *bound: Any) -> Any:
        """The first row; None if there is none."""
        async with self._door.statement(self._connection):
            return await self._connection.fetchrow(self.names.fill(text), *bound)

    async def value(self, text: str, *bound: Any) -> Any:
        """The first column of the first row; None if there is none."""
        async with self._door.statement(self._connection):
            return await self._connection.fetchval(self.names.fill(text), *bound)

    async def run(self, text: str, *bound: Any) -> int:
        """How many rows a statement has written."""
        async with self._door.statement(self._connection):
            said = await self._connection.execute(self.names.fill(text), *bound)
        number = said.rpartition(" ")[2]
        return int(number) if number.isdigit() else 0

    async def many(self, text: str, bound: Iterable[tuple[Any, ...]]) -> None:
        """A statement for each row of arguments."""
        async with self._door.statement(self._connection):
            await self._connection.executemany(self.names.fill(text), bound)

    async def vacuum(self, text: str) -> None:
        """Run a statement that no transaction may have around it."""
        await self._connection.execute(self.names.fill(text))

    def transaction(self) -> Any:
        """All that is done within, or nothing."""
        return self._door.transaction(self._connection)

    def snapshot(self) -> Any:
        """All that is asked within is answered as of one moment."""
        return self._door.snapshot(self._connection)

    async def lock(self, *what: str) -> None:
        """Take advisory locks of these names, in this order, until the transaction ends.

        Others wait for them. So if this process is stopped inside the transaction, the server ends
        its session after ``STOPPED``.
        """
        keys = [f"{self.names.schema}.{self.names.prefix}{each}" for each in what]
        await self.run(_LOCK, keys, STOPPED)


Step = Callable[[Db], Awaitable[Any]]
"""What is asked of the tables: done wholly, or not at all."""

STOPPED: Final = "5s"
"""How long a transaction that has locked something may do nothing."""

_LOCK: Final = """
SELECT set_config('idle_in_transaction_session_timeout', $2, true),
    pg_advisory_xact_lock(hashtextextended(key, 7)) FROM unnest($1::text[]) key
"""

_FIND: Final = "SELECT number FROM {queue} WHERE name = $1"
_MAKE: Final = """
WITH made AS (
    INSERT INTO {queue} (name, paused_until)
    SELECT $1, coalesce((SELECT paused_until FROM {queue} WHERE name = ''), 0)
    ON CONFLICT (name) DO NOTHING RETURNING number
)
INSERT INTO {counter} (queue, shard) SELECT number, n FROM made, generate_series(0, $2 - 1) n
"""


class Link:
    """Has steps taken, over connections of one event loop.

    Args:
        pool: The connections.
        names: The tables.
        name: The queue's.
        where: The server, for messages.
        patience: Seconds for which a step is tried again while the server cannot be had.
        clock: The time, in place of the server's; None: the server's.
        shard: The row of the counters that its steps update.
        writes: Whether its steps may write, so that there has to be a queue.
        keeps: Whether it has the same connection each time if it can: it is hot, and another would
            have to learn its statements.
    """

    def __init__(
        self,
        pool: Pool,
        names: TableNames,
        name: str,
        *,
        where: str,
        patience: float,
        clock: Callable[[], float] | None,
        shard: int,
        writes: bool,
        keeps: bool,
    ) -> None:
        self.pool = pool
        self.names = names
        self.name = name
        self.shard = shard
        self.queue = 0
        self._writes = writes
        self._where = where
        self._patience = patience
        self._clock = clock
        self._keeps = keeps
        self._kept: Connection | None = None

    def now(self) -> float | None:
        """The time for a statement; None for the server's own."""
        return None if self._clock is None else self._clock()

    def ending(self, n: int) -> float | None:
        """Return a time for ``n`` events that finish now; None for the server's own clock.

        The statement adds a microsecond for each event. So no two events finish at the same time
        by a clock that stands still.
        """
        if self._clock is None:
            return None
        first = max(self._clock(), self.pool.last_ending)
        self.pool.last_ending = first + n * 1e-6
        return first

    async def run(
        self,
        step: Callable[[Db], Awaitable[T]],
        patience: float | None = None,
        again: bool = False,
    ) -> T:
        """What comes of a step; it is tried again while the connection is lost.

        Args:
            step: What to do. It is told by ``Db.again`` that it may have been done before.
            patience: Seconds for which it is tried; None: as is usual.
            again: Whether it may have been done before this, too.

        Raises:
            StoreError: if the server cannot be had, or refuses.
        """
        began = monotonic()
        latest = began + (self._patience if patience is None else patience)
        delay = _SOON
        while True:
            connection = None
            try:
                connection = await self._take()
                db = Db(connection, self, again)
                if self._writes and not self.queue:
                    await db.make_queue()
                return await step(db)
            except Exception as error:
                if not isinstance(error, REPEAT):
                    if not is_connection_lost(error):
                        if not _is_the_servers(error):
                            raise
                        raise store_error(error, self._where) from error
                    if connection is not None:
                        self._lose(connection, error)
                        connection, again = None, True
                        self._change_shard()
                if monotonic() > latest:
                    raise store_error(error, self._where) from error
                self._tell(error, monotonic() - began, latest - monotonic())
            except BaseException:  # in the midst of an answer
                if connection is not None:
                    self.pool.drop(connection)
                    connection = None
                raise
            finally:
                if connection is not None:
                    self.pool.give(connection)
            await asyncio.sleep(delay * (0.5 + random()))  # noqa: S311
            delay = min(2 * delay, _LATER)

    def _change_shard(self) -> None:
        """Use another counter row: the transaction of a lost connection may still lock this one."""
        groups = SHARDS // OWN_SHARDS
        self.shard = (self.shard + OWN_SHARDS * randrange(1, groups)) % SHARDS  # noqa: S311

    def _lose(self, connection: Connection, error: Exception) -> None:
        """Close a lost connection. If its server is read-only, close all other connections too."""
        if is_read_only(error):
            self.pool.drop_all(connection)
        else:
            self.pool.drop(connection)

    async def _take(self) -> Connection:
        connection = await self.pool.take(self._kept)
        if self._keeps and self._kept not in self.pool.kept and connection not in self.pool.kept:
            self._kept = connection
            self.pool.kept.add(connection)
        return connection

    def _tell(self, error: Exception, tried: float, left: float) -> None:
        """Warn that the server cannot be had: once in a while, whichever step finds out."""
        if is_connection_lost(error) and tried >= SILENT and monotonic() - self.pool.told > QUIET:
            self.pool.told = monotonic()
            logger.warning("%s; it is tried for %.0f s more", store_error(error, self._where), left)


def _is_the_servers(error: Exception) -> bool:
    """Whether an error comes from the server or its driver, and not from a step itself."""
    return type(error).__module__.startswith("asyncpg") or is_tls_refused(error)
