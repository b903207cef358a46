"""Appends of many events, in pieces if they are very many."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..append_checks import check_room
from ..sql.appending import AppendRequest
from ..sql.rows import PENDING, NewEventRow
from .hot_path import exists, insert_events, make_ready
from .rows import Rows

__all__ = ("AppendNewStep", "AppendStep")

T = TypeVar("T")


@dataclass(slots=True)
class AppendStep:
    """Append events, of which some may be known.

    Returns:
        The number of each, and True if it is new.

    Attributes:
        request: The events.
    """

    request: AppendRequest

    @property
    def ids(self) -> list[bytes]:
        """The ids of the events."""
        return [place.id for place in self.request.places]

    def __call__(self, rows: Rows) -> list[tuple[int, bool]]:
        return _at_once(self.in_pieces(rows, len(self.request.places)))

    def in_pieces(self, rows: Rows, size: int) -> Generator[None, None, list[tuple[int, bool]]]:
        """Do the same in pieces of so many events; yield between two of them."""
        request = self.request
        if (there := self._standing_for(rows)) is not None:
            request.check_held([there])
            return [(there, False)]
        known: dict[bytes, int] = {}
        for places in _pieces(request.places, size):
            found = rows.known(place.id for place in places)
            for uid, number in found.items():
                if rows.queue_number_of(number) != rows.queue:
                    raise exists(rows, uid)
            known |= found
            yield
        fresh = request.fresh(known, lambda uid: exists(rows, uid))
        _check_room(rows, request.room, len(fresh))
        request.check_held(known.values())
        new: dict[bytes, int] = {}
        for places in _pieces(list(fresh.values()), size):
            numbers = rows.insert(places)
            assert numbers is not None, "every known id has been looked for"
            new |= zip((place.id for place in places), numbers, strict=True)
            yield
        return request.answer(known, new)

    def _standing_for(self, rows: Rows) -> int | None:
        """Return the event with the same unique key that replaces the event; None if none does."""
        single = self.request.single
        newest = None if single is None else rows.newest_of(single)
        standing = None if newest is None else rows.standing(newest[0])
        if newest is None or standing is None:
            return None
        number, since = newest
        return number if self.request.is_stood_for(since, standing[0]) else None


@dataclass(slots=True)
class AppendNewStep:
    """Append events that have no record yet.

    Returns:
        The number of each.

    Attributes:
        fresh: The events.
        room: The queue limit.
    """

    fresh: Sequence[NewEventRow]
    room: int | None = None

    @property
    def ids(self) -> list[bytes]:
        """The ids of the events."""
        return [one[0] for one in self.fresh]

    def __call__(self, rows: Rows) -> list[int]:
        return _at_once(self.in_pieces(rows, len(self.fresh)))

    def in_pieces(self, rows: Rows, size: int) -> Generator[None, None, list[int]]:
        """Do the same in pieces of so many events; yield between two of them."""
        if self.room is not None and not rows.known(self.ids):
            check_room(rows.counts()[PENDING], len(self.fresh), self.room)
        numbers: list[int] = []
        for piece in _pieces(self.fresh, size):
            numbers += insert_events(rows, piece)
            make_ready(rows)
            yield
        return numbers


def _at_once(work: Generator[None, None, T]) -> T:
    """Return the result of work that may be done in pieces."""
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
