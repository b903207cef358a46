"""One statement for many rows, since a statement costs more than a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import apsw

__all__ = ("SIZES", "many")

SIZES: Final = (128, 64, 32, 16, 8, 4, 2, 1)
"""Rows of one statement: few, so that those that were compiled are found again."""


def many(
    connection: apsw.Connection,
    before: str,
    row: str,
    after: str,
    rows: Sequence[Iterable[Any]],
    *first: Any,
) -> None:
    """Execute a statement that lists values, for any number of rows.

    Args:
        connection: Where.
        before: The statement up to the first row.
        row: What stands for a row: ``"(?, ?)"``.
        after: What follows the last row.
        rows: What is bound to each.
        *first: What is bound before the rows.
    """
    at, left = 0, len(rows)
    for size in SIZES:
        while left >= size:
            bound = (*first, *chain.from_iterable(rows[at : at + size]))
            connection.execute(_text(before, row, after, size), bound)
            at, left = at + size, left - size


@lru_cache(maxsize=256)
def _text(before: str, row: str, after: str, size: int) -> str:
    return f"{before}{', '.join([row] * size)}{after}"
