"""Sessions: steps over a connection, which are tried again while the server is unavailable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from random import random, randrange
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .connection_pool import ConnectionPool
from .errors import REPEAT, is_connection_lost, is_read_only, is_tls_refused, store_error
from .tables import TableNames

if TYPE_CHECKING:
    from .connection_pool import Connection

__all__ = ("OWN_SHARDS", "SHARDS", "Session", "Step", "TableConnection")

T = TypeVar("T")

logger = logging.getLogger("lionpride")

SHARDS: Final = 160
"""Rows over which the counters of a queue are spread.

Two transactions that update the same row wait for each other, so each process picks rows at random.
"""

OWN_SHARDS: Final = 5
"""Rows that one process uses: one for each of its pipelines that write."""

SILENT: Final = 1.0
"""Seconds of tries after which a warning is logged."""

QUIET: Final = 30.0
"""Minimum time in seconds between two such warnings."""

_SOON, _LATER = 0.02, 1.0
"""Seconds until the next try: the first time, and at most."""


class TableConnection:
    """The tables over a connection, for one step.

    Attributes:
        names: The names of the tables.
        shard: The counter row that the step updates.
        again: True if an earlier try of the step may have been committed.
        may_resolve: Set by a step that has ended parents: children are to be resolved.
    """

    __slots__ = (
        "_connection",
        "_connector",
        "_session",
        "again",
        "may_resolve",
        "names",
        "shard",
    )

    def __init__(self, connection: Connection, session: Session, again: bool) -> None:
        self._connection = connection
        self._session = session
        self._connector = session.pool.connector
        self.names = session.names
        self.shard = session.shard
        self.again = again
        self.may_resolve: bool | None = False

    @property
    def now(self) -> float | None:
        """The time for a statement; None for the server's own clock."""
        return self._session.now()

    def ending(self, n: int) -> float | None:
        """See ``Session.ending``."""
        return self._session.ending(n)

    @property
    def queue(self) -> int:
        """The number of the queue; only for sessions that may write."""
        return self._session.queue

    async def make_queue(self) -> int:
        """Return the number of the queue; create the queue if it does not exist."""
        if number := await self.known_queue():
            return number
        await self.run(_MAKE, self._session.name, SHARDS)
        return await self.known_queue()

    @property
    def queue_name(self) -> str:
        """The name of the queue."""
        return self._session.name

    async def known_queue(self) -> int:
        """Return the number of the queue; 0 if it does not exist yet."""
        session = self._session
        if not session.queue:
            session.queue = await self.value(_FIND, session.name) or 0
        return session.queue

    async def rows(self, text: str, *bound: Any) -> list[Any]:
        """Return the rows of a statement."""
        async with self._connector.statement(self._connection):
            found: list[Any] = await self._connection.fetch(self.names.fill(text), *bound)
        return found

    async def row(self, text: str, *bound: Any) -> Any:
        """Return the first row; None if there is none."""
        async with self._connector.statement(self._connection):
            return await self._connection.fetchrow(self.names.fill(text), *bound)

    async def value(self, text: str, *bound: Any) -> Any:
        """Return the first column of the first row; None if there is no row."""
        async with self._connector.statement(self._connection):
            return await self._connection.fetchval(self.names.fill(text), *bound)

    async def run(self, text: str, *bound: Any) -> int:
        """Return the number of rows that a statement has written."""
        async with self._connector.statement(self._connection):
            said = await self._connection.execute(self.names.fill(text), *bound)
        number = said.rpartition(" ")[2]
        return int(number) if number.isdigit() else 0

    async def many(self, text: str, bound: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement for each tuple of arguments."""
        async with self._connector.statement(self._connection):
            await self._connection.executemany(self.names.fill(text), bound)

    async def vacuum(self, text: str) -> None:
        """Run a statement that is not allowed in a transaction."""
        await self._connection.execute(self.names.fill(text))

    def transaction(self) -> Any:
        """Return a block that is a transaction."""
        return self._connector.transaction(self._connection)

    def snapshot(self) -> Any:
        """Return a block whose reads see the same state of the tables."""
        return self._connector.snapshot(self._connection)

    async def lock(self, *what: str) -> None:
        """Take advisory locks of these names, in this order, until the transaction ends.

        Other processes wait for them. If this process is stopped inside the transaction, the
        server ends its session after ``STOPPED``.
        """
        keys = [f"{self.names.schema}.{self.names.prefix}{each}" for each in what]
        await self.run(_LOCK, keys, STOPPED)


Step = Callable[[TableConnection], Awaitable[Any]]
"""Reads or changes the tables; a change is made as a whole or not at all."""

STOPPED: Final = "5s"
"""How long a transaction with locks may be idle."""

_LOCK: Final = """
SELECT set_config('idle_in_transaction_session_timeout', $2, true),
    pg_advisory_xact_lock(hashtextextended(key, 7)) FROM unnest($1::text[]) key
"""

_FIND: Final = "SELECT number FROM {queue} WHERE name = $1"
_MAKE: Final = """
WITH made AS (
    INSERT INTO {queue} (name, paused_until, paused_by, paused_at)
    SELECT $1, coalesce(q.paused_until, 0), q.paused_by, q.paused_at
    FROM (SELECT) one LEFT JOIN {queue} q ON q.name = ''
    ON CONFLICT (name) DO NOTHING RETURNING number
)
INSERT INTO {counter} (queue, shard) SELECT number, n FROM made, generate_series(0, $2 - 1) n
"""


class Session:
    """Runs steps over connections of one event loop.

    Args:
        pool: The connections.
        names: The tables.
        name: The name of the queue.
        where: The server, for messages.
        patience: Seconds for which a step is tried again while the server is unavailable.
        clock: Returns the time; None for the server's own clock.
        shard: The counter row that its steps update.
        writes: True if its steps may write, so that the queue has to exist.
        keeps: True to use the same connection each time if it is free: another one would have to
            prepare the statements of the hot path.
        resolve_soon: Called after a step that may have ended parents.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        names: TableNames,
        name: str,
        *,
        where: str,
        patience: float,
        clock: Callable[[], float] | None,
        shard: int,
        writes: bool,
        keeps: bool,
        resolve_soon: Callable[[], object],
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
        self._resolve_soon = resolve_soon
        self._kept: Connection | None = None

    def now(self) -> float | None:
        """Return the time for a statement; None for the server's own clock."""
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
        step: Callable[[TableConnection], Awaitable[T]],
        patience: float | None = None,
        again: bool = False,
    ) -> T:
        """Run a step and return its result; it is tried again if the connection is lost.

        Args:
            step: The step. ``TableConnection.again`` is True if an earlier try may be committed.
            patience: Seconds for which it is tried; None for the session's own.
            again: True if it may have been committed before this call.

        Raises:
            StoreError: if the server is unavailable, or refuses the step.
        """
        began = monotonic()
        latest = began + (self._patience if patience is None else patience)
        delay = _SOON
        while True:
            connection = None
            try:
                connection = await self._take()
                db = TableConnection(connection, self, again)
                if self._writes and not self.queue:
                    await db.make_queue()
                return await self._call(step, db)
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
                self._warn(error, monotonic() - began, latest - monotonic())
            except BaseException:  # a cancellation: the answer may be incomplete
                if connection is not None:
                    self.pool.drop(connection)
                    connection = None
                raise
            finally:
                if connection is not None:
                    self.pool.give(connection)
            await asyncio.sleep(delay * (0.5 + random()))  # noqa: S311
            delay = min(2 * delay, _LATER)

    async def _call(
        self, step: Callable[[TableConnection], Awaitable[T]], db: TableConnection
    ) -> T:
        """Call a step; raise a cancellation of the task even if another error has replaced it.

        If the connection is lost in the turn of the event loop that cancels the task, the driver
        cannot end the transaction, and raises its own error in place of the cancellation.
        """
        task = asyncio.current_task()
        cancels = 0 if task is None else task.cancelling()
        try:
            result = await step(db)
        except Exception as error:
            if task is not None and task.cancelling() > cancels and _follows_a_cancel(error):
                raise asyncio.CancelledError from error
            raise
        if db.may_resolve or (db.again and self._writes):
            self._resolve_soon()
        return result

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

    def _warn(self, error: Exception, tried: float, left: float) -> None:
        """Warn at intervals that the server is unavailable, whichever step notices it."""
        if (
            is_connection_lost(error)
            and tried >= SILENT
            and monotonic() - self.pool.warned_at > QUIET
        ):
            self.pool.warned_at = monotonic()
            logger.warning("%s; it is tried for %.0f s more", store_error(error, self._where), left)


def _follows_a_cancel(error: BaseException) -> bool:
    """Return True if an error was raised while a cancellation was handled."""
    context = error.__context__
    while context is not None and not isinstance(context, asyncio.CancelledError):
        context = context.__context__
    return context is not None


def _is_the_servers(error: Exception) -> bool:
    """Return True if an error comes from the server or the driver, and not from the step itself."""
    return type(error).__module__.startswith("asyncpg") or is_tls_refused(error)
