"""The names of the tables, and statements filled with them."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Final

from ..sql.backend import common_words

__all__ = ("LONGEST", "TABLES", "Names")

TABLES: Final = (
    "queue",
    "counter",
    "event",
    "ready",
    "lease",
    "finished",
    "progress",
    "chunk",
    "worker",
    "limit_usage",
    "limit_account",
    "version",
)
"""The tables, without schema and prefix."""

LONGEST: Final = 63
"""Bytes of a name in PostgreSQL; what is longer is cut off without a word."""

_NOW: Final = "coalesce($1::float8, date_part('epoch', clock_timestamp()))"
"""The time: the first argument of the statement, or, if that is NULL, the server's own."""


_SHARED: Final = common_words("= ANY({})") | {
    "each_reserved": "json_each(reserved::json)",
    "for_update": "FOR UPDATE",
    "skip_locked": "FOR UPDATE SKIP LOCKED",
    "greatest": "greatest",
}
"""What the words of shared statements stand for here; see ``sql.backend.Transaction``."""


class Names:
    """The names of one installation.

    Args:
        schema: The schema that holds its tables.
        prefix: What each table's name begins with.

    Attributes:
        channel: Where its processes notify each other.
    """

    def __init__(self, schema: str, prefix: str) -> None:
        self.schema = schema
        self.prefix = prefix
        channel = f"{schema}.{prefix}news"
        self.channel = channel if len(channel) <= LONGEST else _short(channel)
        self._words = {name: f'"{schema}"."{prefix}{name}"' for name in TABLES}
        self._words |= {"p": prefix, "schema": f'"{schema}"', "now": _NOW}
        self._words |= _SHARED
        self.fill = lru_cache(maxsize=None)(self._fill)

    def _fill(self, text: str) -> str:
        """A statement with the names in it: ``{event}`` stands for a table, ``{now}`` for the time.

        ``{now}`` is the first argument, or the server's own time where that is None.
        """
        return text.format_map(self._words)


def _short(name: str) -> str:
    return f"lionpride-{sha256(name.encode()).hexdigest()[:32]}"
