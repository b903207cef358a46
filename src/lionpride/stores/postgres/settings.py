"""Settings of our sessions and transactions, which override those of roles and databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]

__all__ = ("prepare", "startup", "transaction_with_settings")

_PLANS: Final[Mapping[str, str]] = {
    # Fix the plan of each statement: the statistics of a table may be from when it was empty.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "enable_material": "off",
    "enable_indexscan": "on",
    "enable_nestloop": "on",
    "jit": "off",
}
_RULES: Final[Mapping[str, str]] = {
    "synchronous_commit": "on",
    "row_security": "on",
}
_CHOICES: Final[Mapping[str, str]] = {  # unless the URL says otherwise
    "search_path": '"$user", public',  # PostgreSQL searches pg_catalog before these
    "statement_timeout": "0",  # a step is repeated for `patience` seconds
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "60000",  # a stopped process loses its locks
}
_SESSION: Final[Mapping[str, str]] = {
    "application_name": "lionpride",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
}
_NEWER: Final[Mapping[str, int]] = {"idle_session_timeout": 14, "transaction_timeout": 17}
"""Time limits to switch off, and the server version that introduced them."""

_IS_READ_ONLY: Final = """
SELECT source IN ('database', 'user', 'database user') FROM pg_catalog.pg_settings
WHERE name = 'default_transaction_read_only' AND setting = 'on'
"""


def startup(url: str) -> dict[str, str]:
    """Return the startup parameters of a session."""
    given = _given(url)
    choices = {name: value for name, value in _CHOICES.items() if name not in given}
    return {**choices, **_PLANS, **_RULES, **_SESSION}


def _given(url: str) -> Collection[str]:
    return {name for name, _ in parse_qsl(urlsplit(url).query)}


async def prepare(connection: Connection, url: str) -> None:
    """Apply the settings that depend on the server and cannot be startup parameters.

    ``default_transaction_read_only`` of a role or a database is overridden. If the configuration of
    the server sets it, the server is meant to be read-only, and the setting stays.
    """
    version, given = connection.get_server_version().major, _given(url)
    texts = [
        f"SET {name} = 0"
        for name, since in _NEWER.items()
        if version >= since and name not in given
    ]
    is_read_only = getattr(connection.get_settings(), "default_transaction_read_only", "off")
    if is_read_only == "on" and await connection.fetchval(_IS_READ_ONLY):
        texts.append("SET default_transaction_read_only = off")
    if texts:
        await connection.execute("; ".join(texts))


@asynccontextmanager
async def transaction_with_settings(
    connection: Connection, mode: str = "ISOLATION LEVEL READ COMMITTED"
) -> AsyncIterator[None]:
    """Run a transaction that sets its own settings: behind PgBouncer the session is shared."""
    settings = {**_PLANS, **_RULES, **_CHOICES}
    if connection.get_server_version().major >= _NEWER["transaction_timeout"]:
        settings["transaction_timeout"] = "0"
    texts = [f"BEGIN {mode}", *(f"SET LOCAL {name} = {value}" for name, value in settings.items())]
    await connection.execute("; ".join(texts))
    try:
        yield
    except BaseException:
        with suppress(Exception):  # the pool closes a connection that is still in a transaction
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")
