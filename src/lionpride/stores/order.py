"""The order in which waiting events are claimed: by priority, then by arrival."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, MutableSequence
from heapq import heappop, heappush
from typing import TypeAlias

__all__ = ("Order",)

_FEW = 4
"""What is beside the run joins it when there is one of it for so many of the run's."""

_AT_ONCE = 128
"""As many numbers of the far ones follow the run when that has come to its end."""

Part: TypeAlias = tuple[list[int], MutableSequence[float]]
"""Numbers and the priority of each. The priorities lie side by side in an array: where there are
many, each would be waited for that had to be fetched from where its float was made."""


class Order:
    """A priority queue of (priority, number), for much that is put in before it is taken out.

    It is a *run*, sorted, with the *far* behind it, and a *heap* of what came since and goes
    before their end. The *new* are put among the others when somebody looks: what goes behind
    all that is sorted joins it, and so does all there is, if it is much; few are pushed to the
    heap. So a batch costs one sort, which is several times cheaper than as many steps of a heap
    and walks through memory in order; what comes in order costs no more than a queue; and the
    heap stays small.

    Args:
        entries: What is in it to begin with.

    Attributes:
        new: Numbers that are neither in the run nor in the heap yet.
        new_at: The priority of each. Who pushes by the million may put a number that is higher
            than all before it here, and its priority.
        run: The first of the sorted numbers. Who pops by the million may take its first, while
            neither ``new`` nor ``heap`` has anything.
        far: The others in parts, each with the priorities; the first follows the run.
        heap: What is beside them: pairs of priority and number.
    """

    __slots__ = ("_run_at", "far", "heap", "new", "new_at", "run")

    def __init__(self, entries: Iterable[tuple[float, int]] = ()) -> None:
        self.new: list[int] = []
        self.new_at: list[float] = []
        self.run: deque[int] = deque()
        self.far: deque[Part] = deque()
        self.heap: list[tuple[float, int]] = []
        # The priorities of the run, and before them those of what was taken from it.
        self._run_at: MutableSequence[float] = array("d")
        self.refill(entries)

    def refill(self, entries: Iterable[tuple[float, int]]) -> None:
        """Hold these and no others."""
        kept = sorted(entries)
        for each in (self.new, self.new_at, self.heap):
            each.clear()
        self._fill(kept)

    def __bool__(self) -> bool:
        return bool(self.run or self.far or self.heap or self.new)

    def push(self, priority: float, number: int) -> None:
        """Let a number wait at a priority; it may have waited before."""
        heappush(self.heap, (priority, number))

    def pop(self) -> int | None:
        """Take out the number that is first; None if there is none."""
        if self.new:
            if len(self.new) == 1 and not (self.run or self.heap or self.far):
                self.new_at.clear()
                return self.new.pop()
            self._arrange()
        if self._heap_is_first():
            return heappop(self.heap)[1]
        return self.run.popleft() if self.run else None

    def first(self) -> tuple[float, int]:
        """What ``pop`` would take, with its priority.

        Raises:
            IndexError: if there is none.
        """
        if self.new:
            self._arrange()
        return self.heap[0] if self._heap_is_first() else self._run_first()

    def _heap_is_first(self) -> bool:
        if not self.run and self.far:
            self._draw()
        heap = self.heap
        return bool(heap) and (not self.run or heap[0] < self._run_first())

    def _run_first(self) -> tuple[float, int]:
        run = self.run
        return self._run_at[-len(run)], run[0]

    def _draw(self) -> None:
        """Have a part of the far ones for a run."""
        numbers, self._run_at = self.far.popleft()
        self.run.extend(numbers)

    def _arrange(self) -> None:
        """Put what is new among the others."""
        new, new_at, heap = self.new, self.new_at, self.heap
        last = self.far[-1][1] if self.far else self._run_at
        sorted_ones = len(self.run) + _AT_ONCE * len(self.far)
        if not sorted_ones or min(new_at) >= last[-1]:
            self._extend()
        elif _FEW * (len(new) + len(heap)) < sorted_ones:
            for entry in zip(new_at, new, strict=True):
                heappush(heap, entry)
        else:
            run_at = self._run_at[-len(self.run) :] if self.run else []
            everything = [*zip(run_at, self.run, strict=True), *zip(new_at, new, strict=True)]
            everything += heap
            for numbers, at in self.far:
                everything += zip(at, numbers, strict=True)
            everything.sort()
            heap.clear()
            self._fill(everything)
        new.clear()
        new_at.clear()

    def _extend(self) -> None:
        """Put what is new behind all that is sorted."""
        new, new_at = self.new, self.new_at
        if len(new) > 1:
            # Stable, and numbers come in order: no pairs need be made and compared.
            order = sorted(range(len(new)), key=new_at.__getitem__)
            self._put_behind([*map(new.__getitem__, order)], [*map(new_at.__getitem__, order)])
        else:
            self._put_behind(new, new_at)

    def _put_behind(self, numbers: list[int], at: list[float]) -> None:
        run, run_at, far = self.run, self._run_at, self.far
        if not far:
            if len(run_at) > 2 * len(run) + _AT_ONCE:
                del run_at[: len(run_at) - len(run)]
            room = max(0, _AT_ONCE - len(run))
            run.extend(numbers[:room])
            run_at.extend(at[:room])
        else:
            room = _AT_ONCE - len(far[-1][0])
            far[-1][0].extend(numbers[:room])
            far[-1][1].extend(at[:room])
        for begin in range(room, len(numbers), _AT_ONCE):
            end = begin + _AT_ONCE
            far.append((numbers[begin:end], array("d", at[begin:end])))

    def _fill(self, entries: list[tuple[float, int]]) -> None:
        """Hold these, which are sorted, and what is in the heap."""
        self.run.clear()
        self.far.clear()
        self._run_at = array("d")
        self._put_behind([number for _, number in entries], [at for at, _ in entries])
