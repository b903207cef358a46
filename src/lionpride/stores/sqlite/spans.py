"""A claim of many new events that is one row, for as long as nothing happens to one of them alone.

What is taken in and claimed by one transaction mostly completes in one transaction too. So the
claim is a range of numbers, and all that remains to be done is to delete it. Whoever has anything
else to do with one of the numbers unfolds the spans first: then each has a lease of its own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

import apsw

from ..sql.forms import STATE

__all__ = ("Spans",)

_MOST: Final = 64
"""Spans that a process has at a time, since each is looked at whenever something completes."""

_REST: Final = 1
"""Claims that are written one by one after a span that was of no use; then twice as many, ..."""

_LONGEST: Final = 1024
"""... and at most so many."""

_LEASE: Final = f"number, queue, due, priority, {STATE}, worker, leased_until, claimed_at"


class Spans:
    """The spans of a file, over a connection that is inside a transaction.

    Those that this process has written are remembered. What it remembers may be wrong, since
    others unfold them and a transaction may be rolled back: then it takes a little longer.

    Args:
        connection: Where they are.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        self._known: list[tuple[int, int]] = []  # first and last of each, in order
        self._rest, self._next_rest = 0, _REST

    def claim(self, new: range, queue: int, worker: str, until: float) -> bool:
        """Give a worker a range of new events; False if each is to have a lease of its own."""
        if self._rest:
            self._rest -= 1
            return False
        if len(new) < 2 or len(self._known) >= _MOST:
            return False
        self._db.execute(
            "INSERT INTO lionpride_span (first, last, queue, worker, leased_until) VALUES (?, ?, "
            "?, ?, ?)",
            (new[0], new[-1], queue, worker, until),
        )
        self._known.append((new[0], new[-1]))
        return True

    def end(self, numbers: list[int]) -> list[int]:
        """End the spans whose attempts have all completed.

        Args:
            numbers: The first attempts that have completed, in order.

        Returns:
            Those of them that were in no span: they have a lease, or none.
        """
        if not self._known:
            return numbers
        whole = self._whole(numbers)
        if whole is None:  # somebody goes on alone
            self.unfold()
            return numbers
        left = numbers
        for span in whole:
            if self._end(span):
                left = left[: bisect_left(left, span[0])] + left[bisect_right(left, span[1]) :]
        return left

    def _whole(self, numbers: list[int]) -> list[tuple[int, int]] | None:
        """Those that are remembered and made of such numbers; None if one is so only in part."""
        whole = []
        for first, last in self._known:
            some = numbers[bisect_left(numbers, first) : bisect_right(numbers, last)]
            if some:
                if some != list(range(first, last + 1)):
                    return None
                whole.append((first, last))
        return whole

    def _end(self, span: tuple[int, int]) -> bool:
        """End a span; False if it is not there: others have unfolded it."""
        self._known.remove(span)
        self._db.execute("DELETE FROM lionpride_span WHERE first = ? AND last = ?", span)
        if not self._db.changes():
            self._pause()
            return False
        self._next_rest = _REST
        return True

    def unfold(self) -> None:
        """Have a lease for each event that is in a span, whoever has claimed it."""
        self.forget()
        if self._db.execute("SELECT 1 FROM lionpride_span LIMIT 1").get:
            self._db.execute(
                f"INSERT INTO lionpride_lease ({_LEASE}) SELECT {_LEASE} FROM lionpride_unfolded"
            )
            self._db.execute("DELETE FROM lionpride_span")

    def forget(self) -> None:
        """Remember none, since they are unfolded, or a transaction was rolled back."""
        if self._known:
            self._known = []
            self._pause()

    def _pause(self) -> None:
        """A span was of no use: write none for a while."""
        self._rest, self._next_rest = self._next_rest, min(2 * self._next_rest, _LONGEST)
