"""Statements that both databases understand, as SQLite understands them."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Final

from ..sql.backend import common_words

__all__ = ("as_argument", "fill")

_TABLES: Final = (
    "queue",
    "event",
    "ready",
    "lease",
    "finished",
    "progress",
    "chunk",
    "worker",
    "limit_account",
    "limit_usage",
    "dependency",
    "child",
    "continuation",
    "parent_change",
    "action",
    "schedule",
)
_RESULT: Final = "replace(s.result, '\\u0000', '\\ufffd')"  # GLOB ends at a NUL character
_WORDS: Final = common_words(
    "IN (SELECT value FROM json_each({}))",
    "IN (SELECT value ->> 0, value ->> 1 FROM json_each({}))",
) | {
    **{name: f"lionpride_{name}" for name in _TABLES},
    "json_rows": "json_each($1) AS e",
    "each_reserved": "json_each(reserved)",
    "for_update": "",
    "skip_locked": "",
    "greatest": "max",
    "now": "$1",
    "join": "CROSS JOIN",
    "not_indexed": "NOT INDEXED",
    "by_trouble": "INDEXED BY lionpride_finished_trouble",
    "by_time": "INDEXED BY lionpride_finished_order",
    "error_matches": (
        f"coalesce(json_extract({_RESULT}, '$.error.error'), '') || ': ' || "
        f"coalesce(json_extract({_RESULT}, '$.error.message'), '') GLOB"
    ),
}


@lru_cache(maxsize=256)
def fill(statement: str) -> str:
    """Return a shared statement as SQLite understands it."""
    return re.sub(r"\$(\d+)", r"?\1", statement.format_map(_WORDS))


def as_argument(value: Any) -> Any:
    """Return an argument of a shared statement as SQLite understands it: lists are JSON."""
    return json.dumps(value) if type(value) is list else value
