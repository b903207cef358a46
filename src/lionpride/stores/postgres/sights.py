"""What was read of events just now, for those who note it and may not wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

from ..sql.rows import StoredEvent

__all__ = ("Sights",)

Read: TypeAlias = Callable[[Sequence[int]], Awaitable[dict[int, StoredEvent]]]


class Sights:
    """Reads how events stand, without mistaking what was true for what is.

    While the server answers, this process may note that an event has moved on; what was read of
    that one is out of date then, and is read again.

    Args:
        read: Asks the server how they stand.
        read_all: Asks for all that there is to know of them.
    """

    def __init__(self, read: Read, read_all: Read) -> None:
        self._read = read
        self._read_all = read_all
        self._seen: dict[int, StoredEvent] = {}
        self._asking: list[set[int]] = []

    def moved(self, numbers: Iterable[int]) -> None:
        """These have moved on: it is noted here."""
        if self._asking:
            moved = set(numbers)
            for each in self._asking:
                each.update(moved)

    async def see(self, numbers: Iterable[int], *, whole: bool = False) -> None:
        """Read how these stand; until the next ``await`` it can be asked for.

        Args:
            numbers: Which.
            whole: Whether all is asked that an event is built of.
        """
        read = self._read_all if whole else self._read
        wanted, seen = list(dict.fromkeys(numbers)), dict[int, StoredEvent]()
        while wanted:
            moved = set[int]()
            self._asking.append(moved)
            try:
                seen |= await read(wanted)
            finally:
                self._asking.remove(moved)
            wanted = [number for number in wanted if number in moved]
            for number in wanted:
                seen.pop(number, None)
        self._seen = seen

    def __call__(self, numbers: Sequence[int]) -> list[StoredEvent | None]:
        """What ``see`` has read; None of one that is not there."""
        return [self._seen.get(number) for number in numbers]
