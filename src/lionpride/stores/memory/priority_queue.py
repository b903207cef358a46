"""Priority queue of numbers, which is fast for many entries that are appended before they run."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, MutableSequence
from heapq import heappop, heappush
from typing import Final, TypeAlias

__all__ = ("PriorityQueue",)

FEW: Final = 4
"""New entries are merged into the sorted ones if these are fewer than ``FEW`` times as many."""

CHUNK_SIZE: Final = 128
"""The number of entries of a chunk."""

Chunk: TypeAlias = tuple[list[int], MutableSequence[float]]
"""Numbers and the priority of each. The priorities lie side by side in an array: floats that are
spread over the memory would be slow to fetch."""


class PriorityQueue:
    """Priority queue of pairs (priority, number).

    It has a sorted *run*, with sorted *chunks* behind it, and a *heap* of later entries that belong
    before the last sorted one. *New* entries are merged when the queue is read. If they belong
    behind all sorted entries, or if there are many, they become sorted entries. A few of them are
    pushed to the heap. So a batch costs one sort, which is several times as fast as heap steps.
    Entries that arrive in order cost no more than those of a deque, and the heap stays small.

    Args:
        entries: The first entries.

    Attributes:
        new: Numbers that are neither sorted nor in the heap yet. A caller may append a number that
            is higher than all before it, and its priority to ``new_at``.
        new_at: The priorities of ``new``.
        run: The first of the sorted numbers. A caller may take the first one while ``new`` and
            ``heap`` are empty.
        chunks: The sorted numbers that follow the run.
        heap: All other entries.
    """

    __slots__ = ("_run_at", "chunks", "heap", "new", "new_at", "run")

    def __init__(self, entries: Iterable[tuple[float, int]] = ()) -> None:
        self.new: list[int] = []
        self.new_at: list[float] = []
        self.run: deque[int] = deque()
        self.chunks: deque[Chunk] = deque()
        self.heap: list[tuple[float, int]] = []
        # The priorities of the run, preceded by those of numbers that were taken from it.
        self._run_at: MutableSequence[float] = array("d")
        self.refill(entries)

    def refill(self, entries: Iterable[tuple[float, int]]) -> None:
        """Replace all entries."""
        kept = sorted(entries)
        for each in (self.new, self.new_at, self.heap):
            each.clear()
        self._set_sorted(kept)

    def __bool__(self) -> bool:
        return bool(self.run or self.chunks or self.heap or self.new)

    def push(self, priority: float, number: int) -> None:
        """Add an entry; its number may have been in the queue before."""
        heappush(self.heap, (priority, number))

    def pop(self) -> int | None:
        """Remove the first entry and return its number; None if the queue is empty."""
        if self.new:
            if len(self.new) == 1 and not (self.run or self.heap or self.chunks):
                self.new_at.clear()
                return self.new.pop()
            self._merge()
        if self._heap_is_first():
            return heappop(self.heap)[1]
        return self.run.popleft() if self.run else None

    def first(self) -> tuple[float, int]:
        """Return the first entry.

        Raises:
            IndexError: if the queue is empty.
        """
        if self.new:
            self._merge()
        return self.heap[0] if self._heap_is_first() else self._run_first()

    def _heap_is_first(self) -> bool:
        if not self.run and self.chunks:
            self._load_chunk()
        heap = self.heap
        return bool(heap) and (not self.run or heap[0] < self._run_first())

    def _run_first(self) -> tuple[float, int]:
        run = self.run
        return self._run_at[-len(run)], run[0]

    def _load_chunk(self) -> None:
        """Make the first chunk the run."""
        numbers, self._run_at = self.chunks.popleft()
        self.run.extend(numbers)

    def _merge(self) -> None:
        """Merge the new entries."""
        new, new_at, heap = self.new, self.new_at, self.heap
        last = self.chunks[-1][1] if self.chunks else self._run_at
        sorted_ones = len(self.run) + CHUNK_SIZE * len(self.chunks)
        if not sorted_ones or min(new_at) >= last[-1]:
            self._append_new()
        elif FEW * (len(new) + len(heap)) < sorted_ones:
            for entry in zip(new_at, new, strict=True):
                heappush(heap, entry)
        else:
            run_at = self._run_at[-len(self.run) :] if self.run else []
            everything = [*zip(run_at, self.run, strict=True), *zip(new_at, new, strict=True)]
            everything += heap
            for numbers, at in self.chunks:
                everything += zip(at, numbers, strict=True)
            everything.sort()
            heap.clear()
            self._set_sorted(everything)
        new.clear()
        new_at.clear()

    def _append_new(self) -> None:
        """Append the new entries behind the sorted ones."""
        new, new_at = self.new, self.new_at
        if len(new) > 1:
            # A stable sort of ascending numbers: no pairs have to be made and compared.
            order = sorted(range(len(new)), key=new_at.__getitem__)
            self._append_sorted([*map(new.__getitem__, order)], [*map(new_at.__getitem__, order)])
        else:
            self._append_sorted(new, new_at)

    def _append_sorted(self, numbers: list[int], at: list[float]) -> None:
        run, run_at, chunks = self.run, self._run_at, self.chunks
        if not chunks:
            if len(run_at) > 2 * len(run) + CHUNK_SIZE:
                del run_at[: len(run_at) - len(run)]
            room = max(0, CHUNK_SIZE - len(run))
            run.extend(numbers[:room])
            run_at.extend(at[:room])
        else:
            room = CHUNK_SIZE - len(chunks[-1][0])
            chunks[-1][0].extend(numbers[:room])
            chunks[-1][1].extend(at[:room])
        for begin in range(room, len(numbers), CHUNK_SIZE):
            end = begin + CHUNK_SIZE
            chunks.append((numbers[begin:end], array("d", at[begin:end])))

    def _set_sorted(self, entries: list[tuple[float, int]]) -> None:
        """Replace the sorted entries; the heap stays."""
        self.run.clear()
        self.chunks.clear()
        self._run_at = array("d")
        self._append_sorted([number for _, number in entries], [at for at, _ in entries])
