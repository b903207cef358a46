"""Names of the tables, and statements that contain them."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Final

from ..sql.backend import common_words

__all__ = ("LONGEST", "TABLES", "TableNames")


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
    "dependency",
    "child",
    "continuation",
    "parent_change",
    "action",
    "schedule",
    "version",
)
"""The tables, without schema and prefix."""

LONGEST: Final = 63
"""Maximum length of a name in PostgreSQL, which truncates longer names silently."""

_NOW: Final = "coalesce($1::float8, date_part('epoch', clock_timestamp()))"
"""The time: the first argument of the statement, or the server's time if it is NULL."""


_RESULT: Final = "replace(s.result, '\\u0000', '\\ufffd')::json"  # text has no NUL character
_SHARED: Final = common_words(
    "= ANY({})",
    "IN (SELECT (p ->> 0)::bigint, (p ->> 1)::bigint FROM json_array_elements({}::json) p)",
) | {
    "json_rows": "json_array_elements($1::json) AS e (value)",
    "each_reserved": "json_each(reserved::json)",
    "for_update": "FOR UPDATE",
    "skip_locked": "FOR UPDATE SKIP LOCKED",
    "greatest": "greatest",
    "join": "JOIN",
    "not_indexed": "",
    "by_trouble": "",
    "by_time": "",
    "error_matches": (
        f"(coalesce({_RESULT} #>> '{{error,error}}', '') || ': ' || "
        f"coalesce({_RESULT} #>> '{{error,message}}', '')) COLLATE \"C\" ~"
    ),
}
"""What the words of shared statements stand for here; see ``sql.backend.Transaction``."""


class TableNames:
    """The names of the tables of one installation.

    Args:
        schema: The schema of the tables.
        prefix: The prefix of the name of each table.

    Attributes:
        channel: The channel of NOTIFY between its processes.
    """

    def __init__(self, schema: str, prefix: str) -> None:
        self.schema = schema
        self.prefix = prefix
        channel = f"{schema}.{prefix}news"
        self.channel = channel if len(channel) <= LONGEST else _short(channel)
        self._words = {name: f'"{schema}"."{prefix}{name}"' for name in TABLES}
        self._words |= {"note_ended": f'"{schema}"."{prefix}note_ended"'}
        self._words |= {"p": prefix, "schema": f'"{schema}"', "now": _NOW}
        self._words |= _SHARED
        self.fill = lru_cache(maxsize=None)(self._fill)

    def _fill(self, text: str) -> str:
        """Insert the names into a statement: ``{event}`` is a table, ``{now}`` is the time.

        ``{now}`` is the first argument, or the server's time if it is None.
        """
        return text.format_map(self._words)


def _short(name: str) -> str:
    return f"lionpride-{sha256(name.encode()).hexdigest()[:32]}"
