"""The tables: made where there are none, brought up to date when somebody asks for that."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from ...errors import StoreError
from .names import Names
from .settings import transaction_with_settings

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]

__all__ = ("VERSION", "make_sure", "script", "upgrade", "version_of")

VERSION: Final = 1
"""The newest schema that this version of the library knows: the last file in ``schema/``."""


def script(names: Names, since: int = 0) -> str:
    """What makes the tables of a schema those of this version, as SQL.

    Args:
        names: Their names.
        since: The version that they are of; 0: there are none.
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


# A plain question to the catalogue: `to_regclass` answers from a cache, which remembers what was
# not there before another process made it.
_IS_THERE: Final = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2
)
"""


async def version_of(connection: Connection, names: Names) -> int:
    """The version of the tables; 0 if there are none."""
    table = names.fill("{version}")
    if not await connection.fetchval(_IS_THERE, names.schema, f"{names.prefix}version"):
        return 0
    found: int | None = await connection.fetchval(f"SELECT max(number) FROM {table}")
    return found or 0


async def make_sure(connection: Connection, names: Names) -> None:
    """Make the tables where there are none, and refuse those that are not of this version.

    Raises:
        StoreError: if they are of another one; nothing is changed.
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


async def _make(connection: Connection, names: Names) -> None:
    async with transaction_with_settings(connection):
        await _take_turn(connection, names)
        if await version_of(connection, names) == 0:  # nobody has made them meanwhile
            await connection.execute(script(names))


async def upgrade(connection: Connection, names: Names) -> tuple[int, int]:
    """Bring the tables up to date, all or nothing; the versions before and after.

    Raises:
        StoreError: if they are of a newer version than this one.
    """
    async with transaction_with_settings(connection):
        await _take_turn(connection, names)
        before = await version_of(connection, names)
        if before < VERSION:
            await connection.execute(script(names, before))
    await make_sure(connection, names)
    return before, VERSION


async def _take_turn(connection: Connection, names: Names) -> None:
    """Let no two processes make or change the tables at the same time."""
    lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
    await connection.execute(lock, f"lionpride migrate {names.fill('{version}')}")
