"""One statement for many rows, since a statement costs more than a row."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import apsw

__all__ = ("SIZES", "each_of", "many")

SIZES: Final = (1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128)
"""Rows of one statement: few sizes, so that those that were compiled are found again."""

_MOST: Final = SIZES[-1]


def many(
    connection: apsw.Connection,
    before: str,
    row: str,
    after: str,
    rows: Sequence[tuple[Any, ...]],
    *first: Any,
) -> int:
    """Execute a statement that lists values, for any number of rows.

    The rows are filled up with NULLs to the next of the ``SIZES``, which costs less than one more
    statement: it has to do nothing for a row of NULLs.

    Args:
        connection: Where.
        before: The statement up to the first row.
        row: What stands for a row: ``"(?, ?)"``.
        after: What follows the last row.
        rows: What is bound to each.
        *first: What is bound before the rows.

    Returns:
        The number of rows that the statement itself has changed, without those that triggers did.
    """
    changed = 0
    for at in range(0, len(rows), _MOST):
        some = rows[at : at + _MOST]
        size = SIZES[bisect_left(SIZES, len(some))]
        nothing = (None,) * ((size - len(some)) * len(some[0]))
        bound = (*first, *chain.from_iterable(some), *nothing)
        connection.execute(_text(before, row, after, size), bound)
        changed += connection.changes()
    return changed


def each_of(connection: apsw.Connection, before: str, numbers: Sequence[int], *first: Any) -> int:
    """Execute a statement for each of some numbers; for a range of them, if that is what they are.

    Args:
        connection: Where.
        before: The statement up to the number's column, which ends it.
        numbers: Which.
        *first: What is bound before them.

    Returns:
        The number of rows that the statement itself has changed, without those that triggers did.
    """
    least, most = numbers[0], numbers[-1]
    if most - least == len(numbers) - 1 and numbers == list(range(least, most + 1)):
        connection.execute(f"{before} BETWEEN ? AND ?", (*first, least, most))
        return connection.changes()
    return many(connection, f"{before} IN (", "?", ")", [(number,) for number in numbers], *first)


@lru_cache(maxsize=256)
def _text(before: str, row: str, after: str, size: int) -> str:
    return f"{before}{', '.join([row] * size)}{after}"
