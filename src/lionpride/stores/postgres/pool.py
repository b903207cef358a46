"""A few connections to the server, opened when they are needed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from .migrations import check_tables
from .settings import prepare, startup, transaction_with_settings
from .tables import TableNames

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]

__all__ = ("Door", "Pool")

_STATEMENTS: Final = 500
"""Statements that a connection keeps prepared."""

_HALF: Final = 1.0
"""Seconds for which a connection that nobody wants any more may still be opened."""

_CLOSING: Final = 2.0
"""Seconds that a connection gets to say goodbye."""


class Door:
    """How connections are opened.

    Args:
        url: Where the server is.
        names: The tables.
        pgbouncer: Whether somebody between may give each transaction another connection.
        patience: Seconds to wait for one, and for the answer to a statement.

    Attributes:
        is_direct: Whether a connection has the same session all the time.
    """

    def __init__(self, url: str, names: TableNames, *, pgbouncer: bool, patience: float) -> None:
        self._url = url
        self._names = names
        self._patience = max(patience, 0.1)
        self._settings = {} if pgbouncer else startup(url)
        self._statements = 0 if pgbouncer else _STATEMENTS
        self.is_direct = not pgbouncer

    async def open(self) -> Connection:
        """One more connection; nothing is looked at.

        Who is cancelled meanwhile waits a little: half a connection cannot be closed.
        """
        opening = asyncio.get_running_loop().create_task(self._connect())
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if not (await asyncio.wait([opening], timeout=_HALF))[0]:
                opening.cancel()
                await asyncio.wait([opening])
            if not opening.cancelled() and opening.exception() is None:
                opening.result().terminate()
            raise

    async def _connect(self) -> Connection:
        connection: Connection = await asyncpg.connect(
            self._url,
            timeout=min(self._patience, 10.0),
            command_timeout=max(self._patience, 10.0),
            statement_cache_size=self._statements,
            max_cached_statement_lifetime=0,
            server_settings=self._settings,
        )
        try:
            if self.is_direct:
                await prepare(connection, self._url)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def transaction(self, connection: Connection) -> AbstractAsyncContextManager[Any]:
        """A transaction that settings of a role or a database do not change.

        Within another one it is a savepoint, but not behind PgBouncer: there asyncpg refuses it.
        """
        if self.is_direct or connection.is_in_transaction():
            return connection.transaction(isolation="read_committed")
        return transaction_with_settings(connection)

    def snapshot(self, connection: Connection) -> AbstractAsyncContextManager[Any]:
        """A transaction that reads as of one moment."""
        if self.is_direct:
            return connection.transaction(isolation="repeatable_read", readonly=True)
        return transaction_with_settings(connection, "ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def statement(self, connection: Connection) -> AbstractAsyncContextManager[Any]:
        """Return the block in which a single statement runs: behind PgBouncer a transaction."""
        if self.is_direct or connection.is_in_transaction():
            return nullcontext()
        return transaction_with_settings(connection)

    async def open_first(self) -> Connection:
        """A connection to a server that has the tables; they are made if there are none."""
        connection = await self.open()
        try:
            await check_tables(connection, self._names)
        except BaseException:
            connection.terminate()
            raise
        return connection


class Pool:
    """Lends connections of one event loop.

    Args:
        door: How they are opened.
        size: How many at most.
        on_reopen: Called when all connections are replaced, after a failover.

    Attributes:
        kept: Those that somebody wants to have again; others get them too, but last of all.
        last_ending: The last time at which an event finished, by a given clock.
        told: When it was last said that the server cannot be had, by ``monotonic``.
    """

    def __init__(
        self, door: Door, size: int, on_reopen: Callable[[], object] = lambda: None
    ) -> None:
        self._door = door
        self._size = size
        self._on_reopen = on_reopen
        self._generation = 0
        self._opened: dict[Connection, int] = {}  # and the generation in which each was opened
        self.told = float("-inf")
        self.last_ending = 0.0
        self.kept: set[Connection] = set()
        self._free: list[Connection] = []
        self._count = 0
        self._known = False  # the tables are there
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def door(self) -> Door:
        """How its connections are opened."""
        return self._door

    async def take(self, wanted: Connection | None = None) -> Connection:
        """A connection that nobody else has.

        Args:
            wanted: The one to have, if it is free: it knows the statements that will be asked.
        """
        while not self._free and self._count >= self._size:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except BaseException:
                if turn.done() and not turn.cancelled():
                    self._call()
                raise
        while self._free:
            connection = self._best(wanted)
            self._free.remove(connection)
            if not connection.is_closed():
                return connection
            self._forget(connection)
        self._count += 1
        generation = self._generation
        try:
            connection = await (self._door.open() if self._known else self._door.open_first())
        except BaseException:
            self._count -= 1
            self._call()
            raise
        self._known = True
        self._opened[connection] = generation
        return connection

    def _best(self, wanted: Connection | None) -> Connection:
        """Of those that are free the wanted one, or one that nobody wants, or any."""
        if wanted is not None and wanted in self._free:
            return wanted
        return next((each for each in self._free if each not in self.kept), self._free[0])

    def _forget(self, connection: Connection) -> None:
        """It is closed."""
        self._count -= 1
        self.kept.discard(connection)
        self._opened.pop(connection, None)

    def give(self, connection: Connection) -> None:
        """It is free again."""
        if connection.is_closed():
            self._forget(connection)
        elif connection.is_in_transaction() or self._opened[connection] < self._generation:
            connection.terminate()  # the end of its transaction has failed, or it is out of date
            self._forget(connection)
        else:
            self._free.append(connection)
        self._call()

    def drop(self, connection: Connection) -> None:
        """It is no good any more."""
        connection.terminate()
        self._forget(connection)
        self._call()

    def drop_all(self, connection: Connection) -> None:
        """Close a connection whose server is read-only, and all that are as old as it is.

        Its server is no longer the primary. Connections that only read would not notice that. The
        free ones are closed at once, the others when given. If all were closed since it was
        opened, the newer ones stay: they may have reached the new primary.
        """
        is_old = self._opened.get(connection) != self._generation
        self.drop(connection)
        if is_old:
            return
        self._generation += 1
        free, self._free = self._free, []
        for each in free:
            self.drop(each)
        self._on_reopen()

    def _call(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def close(self) -> None:
        """Close what is free; nobody has any more."""
        free, self._free = self._free, []
        self._count -= len(free)
        for connection in free:
            with suppress(Exception):  # whatever it says, it is closed
                await connection.close(timeout=_CLOSING)
