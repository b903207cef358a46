"""The order in which waiting events are claimed: by priority, then by arrival."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

__all__ = ("Order",)


class Order:
    """A priority queue of (priority, number), where equal priorities are common and cheap.

    A heap holds each priority once, as a bare float, and a dict says which numbers wait at it:
    one, as itself, or several, as a heap of their own. Floats and ints compare several times
    as fast as tuples do, and a push at a priority that is there already costs no step of the
    heap. Numbers may come in any order, since what is released goes back to its old place.
    """

    __slots__ = ("_at", "_heap")

    def __init__(self, entries: Iterable[tuple[float, int]] = ()) -> None:
        self._heap: list[float] = []
        self._at: dict[float, int | list[int]] = {}
        self.refill(entries)

    def refill(self, entries: Iterable[tuple[float, int]]) -> None:
        """Hold these and no others."""
        self._heap.clear()
        self._at.clear()
        for priority, number in entries:
            self.push(priority, number)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def push(self, priority: float, number: int) -> None:
        """Let a number wait at a priority."""
        there = self._at.get(priority)
        if there is None:
            self._at[priority] = number
            heappush(self._heap, priority)
        elif isinstance(there, int):
            self._at[priority] = [there, number] if there < number else [number, there]
        else:
            heappush(there, number)

    def pop(self) -> int | None:
        """Take out the number that is first; None if there is none."""
        heap = self._heap
        if not heap:
            return None
        there = self._at[heap[0]]
        if isinstance(there, int):
            del self._at[heappop(heap)]
            return there
        number = heappop(there)
        if len(there) == 1:
            self._at[heap[0]] = there[0]
        return number

    def first(self) -> tuple[float, int]:
        """What ``pop`` would take, with its priority.

        Raises:
            IndexError: if there is none.
        """
        there = self._at[self._heap[0]]
        return self._heap[0], there if isinstance(there, int) else there[0]
