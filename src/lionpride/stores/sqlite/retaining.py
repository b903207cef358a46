"""Ended events that are removed: by hand, or since they are old or too many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...model.execution import TERMINAL
from .rows import Rows

__all__ = ("Prune", "Retain")


@dataclass(slots=True)
class Prune:
    """Remove ended events, of each status the oldest endings first; their numbers.

    Attributes:
        limit: How many at most.
    """

    statuses: Sequence[str]
    limit: int

    def __call__(self, rows: Rows) -> list[int]:
        gone: list[int] = []
        rows.order_endings()
        for status in self.statuses:
            numbers = [number for _, number in rows.oldest(status, self.limit - len(gone))]
            rows.prune(status, numbers)
            gone += numbers
        return gone


@dataclass(slots=True)
class Retain:
    """Remove the oldest endings beyond those that are to be kept; their numbers.

    Attributes:
        keep: How many endings stay; None: any number.
        since: Those that ended since then stay; None: whenever they ended.
        limit: How many are removed at most.
    """

    keep: int | None
    since: float | None
    limit: int

    def __call__(self, rows: Rows) -> list[int]:
        limit = self.limit
        rows.order_endings()
        if self.keep is not None:
            counts = rows.counts()
            limit = min(limit, sum(counts[each.value] for each in TERMINAL) - self.keep)
        if limit <= 0:
            return []
        oldest = sorted(
            (ended, number, status.value)
            for status in TERMINAL
            for ended, number in rows.oldest(status.value, limit, self.since)
        )[:limit]
        for status in TERMINAL:
            rows.prune(status.value, [number for _, number, each in oldest if each == status.value])
        return [number for _, number, _ in oldest]
