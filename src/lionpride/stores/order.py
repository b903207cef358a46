"""The order in which waiting events are claimed: by priority, then by arrival."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

__all__ = ("Order",)

_FEW = 4
"""Newcomers join the sorted ones when there is one of them for so many of these."""


class Order:
    """A priority queue of (priority, number), where equal priorities are common and cheap.

    Each priority is there once, as a bare float, and a dict says which numbers wait at it: one,
    as itself, or several, as a heap of their own. Floats and ints compare several times as fast
    as tuples do, and a push at a priority that is there already costs nothing more. Numbers may
    come in any order, since what is released goes back to its old place.

    The priorities are a *run*, sorted so that the first is at its end, and a *heap* of those
    that came since it was sorted. *New* ones are put among them when somebody looks: in a run
    if they are many. So what is taken in before it is taken out costs one sort, which is
    cheaper than as many steps of a heap; and the heap stays small.

    Attributes:
        at: The number or numbers that wait at each priority.
        new: Priorities that are neither in the run nor in the heap yet. Who pushes by the
            million may enter a new number at a new priority there and in ``at``.
    """

    __slots__ = ("_heap", "_run", "at", "new")

    def __init__(self, entries: Iterable[tuple[float, int]] = ()) -> None:
        self._run: list[float] = []
        self._heap: list[float] = []
        self.new: list[float] = []
        self.at: dict[float, int | list[int]] = {}
        self.refill(entries)

    def refill(self, entries: Iterable[tuple[float, int]]) -> None:
        """Hold these and no others."""
        for each in (self._run, self._heap, self.new, self.at):
            each.clear()
        for priority, number in entries:
            self.push(priority, number)

    def __bool__(self) -> bool:
        return bool(self.at)

    def push(self, priority: float, number: int) -> None:
        """Let a number wait at a priority."""
        at = self.at
        there = at.get(priority)
        if there is None:
            at[priority] = number
            self.new.append(priority)
        elif isinstance(there, int):
            at[priority] = [there, number] if there < number else [number, there]
        else:
            heappush(there, number)

    def pop(self) -> int | None:
        """Take out the number that is first; None if there is none."""
        if self.new:
            self._arrange()
        run, heap, at = self._run, self._heap, self.at
        if run and not (heap and heap[0] < run[-1]):
            there = at[run[-1]]
            if isinstance(there, int):
                del at[run.pop()]
                return there
        elif heap:
            there = at[heap[0]]
            if isinstance(there, int):
                del at[heappop(heap)]
                return there
        else:
            return None
        number = heappop(there)
        if len(there) == 1:
            at[self.first()[0]] = there[0]
        return number

    def first(self) -> tuple[float, int]:
        """What ``pop`` would take, with its priority.

        Raises:
            ValueError: if there is none.
        """
        if self.new:
            self._arrange()
        priority = min(self._run[-1:] + self._heap[:1])
        there = self.at[priority]
        return priority, there if isinstance(there, int) else there[0]

    def _arrange(self) -> None:
        """Put the new priorities among the others."""
        new, heap, run = self.new, self._heap, self._run
        if _FEW * (len(new) + len(heap)) < len(run):
            for priority in new:
                heappush(heap, priority)
        else:
            run += heap
            run += new
            run.sort(reverse=True)  # what is sorted already is only merged
            heap.clear()
        new.clear()
