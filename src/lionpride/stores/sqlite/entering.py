"""Taking events in: many at once, in pieces if they are very many."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..append_checks import check_room
from ..sql.appending import Appending
from ..sql.rows import PENDING, NewEventRow
from .hot_path import exists, insert_events, make_ready
from .rows import Rows

__all__ = ("Append", "Enter")

T = TypeVar("T")


class Append(Appending):
    """Takes events in; the number of each, and whether it is new."""

    __slots__ = ()

    @property
    def ids(self) -> list[bytes]:
        """The ids of the events."""
        return [place.id for place in self.places]

    def __call__(self, rows: Rows) -> list[tuple[int, bool]]:
        return _at_once(self.by_and_by(rows, len(self.places)))

    def by_and_by(self, rows: Rows, size: int) -> Generator[None, None, list[tuple[int, bool]]]:
        """The same in pieces of so many events; it yields between two of them."""
        if (there := self._standing_for(rows)) is not None:
            self.check_held([there])
            return [(there, False)]
        known: dict[bytes, int] = {}
        for places in _pieces(self.places, size):
            found = rows.known(place.id for place in places)
            for uid, number in found.items():
                if rows.is_elsewhere(number):
                    raise exists(rows, uid)
            known |= found
            yield
        fresh = self.fresh(known, lambda uid: exists(rows, uid))
        _check_room(rows, self.room, len(fresh))
        self.check_held(known.values())
        new: dict[bytes, int] = {}
        for places in _pieces(list(fresh.values()), size):
            numbers = rows.insert(places)
            assert numbers is not None, "every known id has been looked for"
            new |= zip((place.id for place in places), numbers, strict=True)
            yield
        return self.answer(known, new)

    def _standing_for(self, rows: Rows) -> int | None:
        """The event that stands for the one to append; None if there is none."""
        newest = None if self.single is None else rows.newest_of(self.single)
        standing = None if newest is None else rows.standing(newest[0])
        if newest is None or standing is None:
            return None
        number, since = newest
        return number if self.is_stood_for(since, standing[0]) else None


@dataclass(slots=True)
class Enter:
    """Take in events with nothing on record; the number of each.

    Attributes:
        fresh: The events.
        room: How many may wait afterwards.
    """

    fresh: Sequence[NewEventRow]
    room: int | None = None

    @property
    def ids(self) -> list[bytes]:
        """The ids of the events."""
        return [one[0] for one in self.fresh]

    def __call__(self, rows: Rows) -> list[int]:
        return _at_once(self.by_and_by(rows, len(self.fresh)))

    def by_and_by(self, rows: Rows, size: int) -> Generator[None, None, list[int]]:
        """The same in pieces of so many events; it yields between two of them."""
        if self.room is not None and not rows.known(self.ids):
            check_room(rows.counts()[PENDING], len(self.fresh), self.room)
        numbers: list[int] = []
        for piece in _pieces(self.fresh, size):
            numbers += insert_events(rows, piece)
            make_ready(rows)
            yield
        return numbers


def _at_once(work: Generator[None, None, T]) -> T:
    """What comes of work that may be done in pieces."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def _check_room(rows: Rows, room: int | None, more: int) -> None:
    if room is not None:
        check_room(rows.counts()[PENDING], more, room)


def _pieces(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[at : at + size] for at in range(0, len(items), size))
