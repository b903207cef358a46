"""Reads of events whose state may change while the server answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

from ..sql.rows import StoredEvent

__all__ = ("StaleReadGuard",)

Read: TypeAlias = Callable[[Sequence[int]], Awaitable[dict[int, StoredEvent]]]


class StaleReadGuard:
    """Reads events, and reads an event again if it has changed during the read.

    While the server answers, this process may note a change of an event. The row that was read is
    out of date then.

    Args:
        read: Reads the state of events.
        read_all: Reads all columns of events.
    """

    def __init__(self, read: Read, read_all: Read) -> None:
        self._read = read
        self._read_all = read_all
        self._seen: dict[int, StoredEvent] = {}
        self._asking: list[set[int]] = []

    def invalidate(self, numbers: Iterable[int]) -> None:
        """Note that these events have changed: reads that are under way are out of date."""
        if self._asking:
            moved = set(numbers)
            for each in self._asking:
                each.update(moved)

    async def prefetch(self, numbers: Iterable[int], *, whole: bool = False) -> None:
        """Read events; ``prefetched`` returns them until the next ``await``.

        Args:
            numbers: The events.
            whole: True to read all columns.
        """
        read = self._read_all if whole else self._read
        wanted, seen = list(dict.fromkeys(numbers)), dict[int, StoredEvent]()
        while wanted:
            moved = set[int]()
            self._asking.append(moved)
            try:
                seen |= await read(wanted)
            finally:  # by identity: the sets of two reads may be equal
                self._asking = [each for each in self._asking if each is not moved]
            wanted = [number for number in wanted if number in moved]
            for number in wanted:
                seen.pop(number, None)
        self._seen = seen

    def prefetched(self, numbers: Sequence[int]) -> list[StoredEvent | None]:
        """Return what ``prefetch`` has read; None for an event that does not exist."""
        return [self._seen.get(number) for number in numbers]
