"""Creation and upgrades of the tables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources
from typing import TYPE_CHECKING, Final, TypeVar

from ...errors import StoreError
from ..maintenance import SchemaVersion
from .errors import store_error
from .settings import transaction_with_settings
from .tables import TableNames

if TYPE_CHECKING:
    from .connection_pool import Connection, Connector

__all__ = (
    "VERSION",
    "check_tables",
    "over_own_connection",
    "schema_of",
    "script",
    "upgrade",
    "upgrade_schema",
    "version_of",
)


VERSION: Final = 1
"""The newest schema that this version of the library knows: the last file in ``schema/``."""


def script(names: TableNames, since: int = 0) -> str:
    """Return the statements that create or upgrade the tables.

    Args:
        names: Their names.
        since: Their current version; 0 if there are none.
    """
    folder = resources.files(__package__) / "schema"
    parts = [] if since else [f'CREATE SCHEMA IF NOT EXISTS "{names.schema}";', _VERSIONS]
    for version in range(since + 1, VERSION + 1):
        parts += [(folder / f"{version}.sql").read_text("utf-8"), _NOTE.format(version)]
    return "\n".join(names.fill(part) for part in parts)


_VERSIONS: Final = """\
CREATE TABLE {version} (number integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
"""
_NOTE: Final = "INSERT INTO {{version}} (number) VALUES ({});"


# The catalogue is read directly, since `to_regclass` uses a cache that may not contain a table
# that another process has just created.
_IS_THERE: Final = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2
)
"""


async def version_of(connection: Connection, names: TableNames) -> int:
    """Return the version of the tables; 0 if there are none."""
    table = names.fill("{version}")
    if not await connection.fetchval(_IS_THERE, names.schema, f"{names.prefix}version"):
        return 0
    found: int | None = await connection.fetchval(f"SELECT max(number) FROM {table}")
    return found or 0


async def check_tables(connection: Connection, names: TableNames) -> None:
    """Create the tables if there are none; raise an error if they have another version.

    Raises:
        StoreError: if they have another version; nothing is changed.
    """
    version = await version_of(connection, names)
    if version == 0:
        await _make(connection, names)
        version = await version_of(connection, names)
    if version > VERSION:
        raise StoreError(
            f"the tables in schema {names.schema!r} are of version {version}, and this version of "
            f"lionpride knows {VERSION} at most: upgrade lionpride",
            retryable=False,
        )
    if version < VERSION:
        raise StoreError(
            f"the tables in schema {names.schema!r} are of version {version}, and this version of "
            f"lionpride needs {VERSION}: run `lionpride migrate URL`",
            retryable=False,
        )


async def _make(connection: Connection, names: TableNames) -> None:
    async with transaction_with_settings(connection):
        await _take_turn(connection, names)
        if await version_of(connection, names) == 0:  # no other process has created them
            await connection.execute(script(names))


async def upgrade(connection: Connection, names: TableNames) -> tuple[int, int]:
    """Upgrade the tables in one transaction; return the versions before and after.

    Raises:
        StoreError: if they have a newer version than this one.
    """
    async with transaction_with_settings(connection):
        await _take_turn(connection, names)
        before = await version_of(connection, names)
        if before < VERSION:
            await connection.execute(script(names, before))
    await check_tables(connection, names)
    return before, VERSION


async def _take_turn(connection: Connection, names: TableNames) -> None:
    """Lock out other processes that create or upgrade the tables."""
    lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
    await connection.execute(lock, f"lionpride migrate {names.fill('{version}')}")


T = TypeVar("T")


async def over_own_connection(
    connector: Connector,
    names: TableNames,
    where: str,
    what: Callable[[Connection, TableNames], Awaitable[T]],
) -> T:
    """Run a function that needs no tables over a new connection.

    Raises:
        StoreError: if the server cannot be reached or returns an error.
    """
    connection = None
    try:
        connection = await connector.open()
        return await what(connection, names)
    except StoreError:
        raise
    except Exception as error:
        raise store_error(error, where) from error
    finally:
        if connection is not None:
            await connection.close()


async def schema_of(connection: Connection, names: TableNames) -> SchemaVersion:
    """Return the version of the tables, and the statements of an upgrade.

    Raises:
        StoreError: if they have a newer version than this library supports.
    """
    found = await version_of(connection, names)
    if found > VERSION:
        await check_tables(connection, names)  # raises the error
    return _schema(found, names)


async def upgrade_schema(connection: Connection, names: TableNames) -> SchemaVersion:
    """Create or upgrade the tables; return their version before.

    Raises:
        StoreError: as ``schema_of``.
    """
    before, _ = await upgrade(connection, names)
    return _schema(before, names)


def _schema(found: int, names: TableNames) -> SchemaVersion:
    if found >= VERSION:
        return SchemaVersion(found, VERSION)
    text = f"BEGIN;\n{script(names, found).rstrip()}\nCOMMIT;"
    return SchemaVersion(found, VERSION, ((VERSION, text),))
