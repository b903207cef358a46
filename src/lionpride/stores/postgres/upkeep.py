"""The tables from outside: which version they are of, what is to be run, and what ails them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from ...errors import StoreError
from ..upkeep import Schema
from .migrating import VERSION, make_sure, script, upgrade, version_of
from .names import Names
from .pool import Door
from .speaking import explained

if TYPE_CHECKING:
    from .pool import Connection

__all__ = ("bring_up_to_date", "outside", "schema_of")

T = TypeVar("T")


async def outside(
    door: Door, names: Names, where: str, what: Callable[[Connection, Names], Awaitable[T]]
) -> T:
    """What comes of something that needs no tables, over a connection of its own.

    Raises:
        StoreError: if the server cannot be had, or refuses.
    """
    connection = None
    try:
        connection = await door.open()
        return await what(connection, names)
    except StoreError:
        raise
    except Exception as error:
        raise explained(error, where) from error
    finally:
        if connection is not None:
            await connection.close()


async def schema_of(connection: Connection, names: Names) -> Schema:
    """The version of the tables, and what would be run.

    Raises:
        StoreError: if they are of a newer version than this one knows.
    """
    found = await version_of(connection, names)
    if found > VERSION:
        await make_sure(connection, names)  # says so
    return _schema(found, names)


async def bring_up_to_date(connection: Connection, names: Names) -> Schema:
    """Make the tables, or bring them up to date; what they were before.

    Raises:
        StoreError: as ``schema_of``.
    """
    before, _ = await upgrade(connection, names)
    return _schema(before, names)


def _schema(found: int, names: Names) -> Schema:
    if found >= VERSION:
        return Schema(found, VERSION)
    text = f"BEGIN;\n{script(names, found).rstrip()}\nCOMMIT;"
    return Schema(found, VERSION, ((VERSION, text),))
