"""Connections of callers: the statements of a transactional append over each driver."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from inspect import iscoroutinefunction
from typing import Any, Final, Protocol, runtime_checkable

from ...errors import ConfigurationError

__all__ = ("CallersConnection", "asynchronous", "synchronous")


class CallersConnection(Protocol):
    """A connection that may be in a transaction of the caller."""

    @property
    def is_in_transaction(self) -> bool:
        """True if a statement on this connection is not committed by itself."""

    async def execute(self, text: str, *bound: Any) -> object:
        """Run a statement with parameters ``$1``, ``$2``, …"""

    async def fetch_row(self, text: str, *bound: Any) -> Sequence[Any]:
        """Run a statement that returns one row, and return the row."""


class _OfAsyncpg:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.execute, self.fetch_row = connection.execute, connection.fetchrow

    @property
    def is_in_transaction(self) -> bool:
        return bool(self._connection.is_in_transaction())


class _OfPsycopg:
    """An asynchronous connection of psycopg."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @property
    def is_in_transaction(self) -> bool:
        return _is_in_transaction(self._connection)

    async def execute(self, text: str, *bound: Any) -> Any:
        import psycopg  # late: a caller with such a connection has it installed

        # The row factory of the connection may return other rows, or fail for this statement.
        cursor = psycopg.AsyncRawCursor(self._connection, row_factory=psycopg.rows.tuple_row)
        return await cursor.execute(text, bound or None)

    async def fetch_row(self, text: str, *bound: Any) -> Any:
        return await (await self.execute(text, *bound)).fetchone()


class _OfSynchronousPsycopg:
    """A synchronous connection of psycopg. No method suspends."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @property
    def is_in_transaction(self) -> bool:
        return _is_in_transaction(self._connection)

    async def execute(self, text: str, *bound: Any) -> Any:
        import psycopg  # late: a caller with such a connection has it installed

        cursor = psycopg.RawCursor(self._connection, row_factory=psycopg.rows.tuple_row)
        return cursor.execute(text, bound or None)

    async def fetch_row(self, text: str, *bound: Any) -> Any:
        return (await self.execute(text, *bound)).fetchone()


class _OfPsycopg2:
    """A connection of psycopg2, which writes parameters in another way. No method suspends."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @property
    def is_in_transaction(self) -> bool:
        return _is_in_transaction(self._connection)

    async def execute(self, text: str, *bound: Any) -> Any:
        (plain,) = _class("psycopg2.extensions", "cursor")  # its rows are tuples
        cursor = self._connection.cursor(cursor_factory=plain)
        named = {f"p{place}": each for place, each in enumerate(bound, 1)}
        cursor.execute(re.sub(r"\$(\d+)", r"%(p\1)s", text.replace("%", "%%")), named)
        return cursor

    async def fetch_row(self, text: str, *bound: Any) -> Any:
        return (await self.execute(text, *bound)).fetchone()


def _is_in_transaction(connection: Any) -> bool:
    """Return True for a connection of psycopg or psycopg2 that does not commit a statement."""
    return not connection.autocommit or connection.info.transaction_status != _IDLE


_IDLE: Final = 0
"""The status of libpq for a connection outside a transaction."""


# -- asynchronous connections ----------------------------------------------------------------


@runtime_checkable
class _Wrapped(Protocol):
    """The methods of SQLAlchemy's ``AsyncConnection`` that are used here."""

    async def exec_driver_sql(self, statement: str) -> Any: ...
    async def get_raw_connection(self) -> Any: ...


async def asynchronous(connection: Any) -> CallersConnection:
    """Return an asynchronous connection as an append uses it.

    Raises:
        ConfigurationError: if the connection is of an unknown kind, or synchronous.
    """
    kind = type(connection)  # a property of an AsyncConnection named `connection` raises
    if iscoroutinefunction(getattr(kind, "connection", None)) and hasattr(kind, "run_sync"):
        connection = await connection.connection()  # of an AsyncSession
    if isinstance(connection, _Wrapped):
        await connection.exec_driver_sql("SELECT 1")  # it begins a transaction only when it must
        connection = (await connection.get_raw_connection()).driver_connection
    if hasattr(connection, "fetchrow"):  # of asyncpg, also if it is from a pool
        return _OfAsyncpg(connection)
    kind = type(connection)
    library = kind.__module__.partition(".")[0]
    if library == "psycopg" and iscoroutinefunction(connection.execute):
        return _OfPsycopg(connection)
    problem = "is no connection that is known here"
    if library in _SYNCHRONOUS:
        problem = "is synchronous: it would block the event loop until the server answers"
    raise ConfigurationError(
        f"connection={kind.__module__}.{kind.__qualname__} {problem}. Give an asynchronous one: a "
        "connection of asyncpg, psycopg.AsyncConnection, or AsyncSession or AsyncConnection of "
        "SQLAlchemy over one of them; or use lionpride.sync"
    )


_SYNCHRONOUS: Final = ("django", "pg8000", "psycopg", "psycopg2", "sqlalchemy", "sqlite3")
"""Libraries with synchronous connections, which are refused."""


# -- synchronous connections -----------------------------------------------------------------


def synchronous(given: Any) -> CallersConnection:
    """Return a synchronous connection as an append uses it.

    Called in the thread that may use the connection. No method of the result suspends.

    Raises:
        ConfigurationError: if the connection is of an unknown kind, asynchronous, or not in a
            transaction.
    """
    kind = f"connection={type(given).__module__}.{type(given).__qualname__}"
    if _is_asynchronous(given):
        raise ConfigurationError(
            f"{kind} is asynchronous: it belongs to an event loop. Give a synchronous one, or use "
            "`from lionpride import Executor` in that loop"
        )
    connection = given
    if hasattr(given, "in_atomic_block"):  # of Django
        given.validate_no_broken_transaction()
        given.ensure_connection()
        connection = given.connection
    elif hasattr(given, "get_bind"):  # a Session of SQLAlchemy
        connection = given.connection()
    if hasattr(connection, "exec_driver_sql"):  # a Connection of SQLAlchemy
        connection.exec_driver_sql("SELECT 1")  # it begins a transaction only when it must
        connection = connection.connection.driver_connection
    if isinstance(connection, _class("psycopg", "Connection")):
        found: CallersConnection = _OfSynchronousPsycopg(connection)
    elif isinstance(connection, _class("psycopg2.extensions", "connection")):
        found = _OfPsycopg2(connection)
    else:
        raise ConfigurationError(
            f"{kind} is no connection to PostgreSQL that is known here. Give one of psycopg or "
            "psycopg2, Session or Connection of SQLAlchemy over one of them, or a connection of "
            "Django"
        )
    if not found.is_in_transaction:
        raise ConfigurationError(
            f"{kind} is not in a transaction, since it commits each statement: begin one (in "
            "Django `with transaction.atomic():`), or leave connection= out"
        )
    return found


def _is_asynchronous(connection: Any) -> bool:
    """Return True for a connection or session of asyncpg, psycopg or SQLAlchemy with coroutines."""
    kind = type(connection)
    methods = (getattr(kind, name, None) for name in ("connection", "execute"))
    return hasattr(kind, "fetchrow") or any(map(iscoroutinefunction, methods))


def _class(module: str, name: str) -> tuple[type, ...]:
    """Return a class of a module that a caller may have imported; () if none has."""
    found = getattr(sys.modules.get(module), name, None)
    return () if found is None else (found,)
