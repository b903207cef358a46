"""The order in which waiting events are claimed: by priority, then by arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush

__all__ = ("Order",)

_FEW = 4
"""What is beside the run joins it when there is one of it for so many of the run's."""


class Order:
    """A priority queue of (priority, number), for much that is put in before it is taken out.

    It is a *run*, sorted, and a *heap* of what came since and goes before its end. The *new*
    are put among the others when somebody looks: what goes behind the run is sorted and joins
    it, and so does all there is, if it is much; few are pushed to the heap. So a batch costs one
    sort, which is several times cheaper than as many steps of a heap and walks through memory
    in order; what comes in order costs no more than a queue; and the heap stays small.

    Attributes:
        new: Numbers that are neither in the run nor in the heap yet.
        new_at: The priority of each. Who pushes by the million may put a number that is higher
            than all before it here, and its priority.
        run: The sorted numbers. Who pops by the million may take its first, while neither
            ``new`` nor ``heap`` has anything.
        heap: What is beside the run: pairs of priority and number.
    """

    __slots__ = ("_run_at", "heap", "new", "new_at", "run")

    def __init__(self, entries: Iterable[tuple[float, int]] = ()) -> None:
        self.new: list[int] = []
        self.new_at: list[float] = []
        self.run: deque[int] = deque()
        self.heap: list[tuple[float, int]] = []
        # The priorities of the run, and before them those of what was taken from it.
        self._run_at: list[float] = []
        self.refill(entries)

    def refill(self, entries: Iterable[tuple[float, int]]) -> None:
        """Hold these and no others."""
        kept = sorted(entries)
        for each in (self.new, self.new_at, self.heap):
            each.clear()
        self._fill(kept)

    def __bool__(self) -> bool:
        return bool(self.run or self.heap or self.new)

    def push(self, priority: float, number: int) -> None:
        """Let a number wait at a priority; it may have waited before."""
        heappush(self.heap, (priority, number))

    def pop(self) -> int | None:
        """Take out the number that is first; None if there is none."""
        if self.new:
            if len(self.new) == 1 and not (self.run or self.heap):
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
        heap = self.heap
        return bool(heap) and (not self.run or heap[0] < self._run_first())

    def _run_first(self) -> tuple[float, int]:
        run = self.run
        return self._run_at[-len(run)], run[0]

    def _arrange(self) -> None:
        """Put what is new among the others."""
        new, new_at, run, heap = self.new, self.new_at, self.run, self.heap
        if not run or min(new_at) >= self._run_at[-1]:
            self._extend()
        elif _FEW * (len(new) + len(heap)) < len(run):
            for entry in zip(new_at, new, strict=True):
                heappush(heap, entry)
        else:
            left = self._run_at[-len(run) :]
            everything = [*zip(left, run, strict=True), *zip(new_at, new, strict=True), *heap]
            everything.sort()
            heap.clear()
            self._fill(everything)
        new.clear()
        new_at.clear()

    def _extend(self) -> None:
        """Put what is new behind the run."""
        new, new_at, run = self.new, self.new_at, self.run
        if len(self._run_at) > 2 * len(run) + 64:
            del self._run_at[: len(self._run_at) - len(run)]
        if len(new) == 1:
            run += new
            self._run_at += new_at
        else:
            # Stable, and numbers come in order: no pairs need be made and compared.
            order = sorted(range(len(new)), key=new_at.__getitem__)
            run.extend(map(new.__getitem__, order))
            self._run_at.extend(map(new_at.__getitem__, order))

    def _fill(self, entries: list[tuple[float, int]]) -> None:
        """Have a run of these, which are sorted."""
        self.run.clear()
        self.run.extend(number for _, number in entries)
        self._run_at = [priority for priority, _ in entries]
