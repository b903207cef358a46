"""Taking events in: many at once, in pieces if they are very many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from ...errors import ExistsError, QueueFullError
from .look import PENDING
from .rows import Fresh, Place, Rows

__all__ = ("Append", "Enter", "known_error")

T = TypeVar("T")


@dataclass(slots=True)
class Append:
    """Take events in; the number of each, and whether it is new.

    Attributes:
        places: The events.
        foreign: Those of them that another store holds.
        room: How many may wait afterwards.
        exist_ok: Whether a known id is left as it stands.
    """

    places: Sequence[Place]
    foreign: frozenset[bytes] = frozenset()
    room: int | None = None
    exist_ok: bool = False

    def __call__(self, rows: Rows) -> list[tuple[int, bool]]:
        return _at_once(self.by_and_by(rows, len(self.places)))

    def by_and_by(self, rows: Rows, size: int) -> Generator[None, None, list[tuple[int, bool]]]:
        """The same in pieces of so many events; it yields between two of them."""
        known: dict[bytes, int] = {}
        for places in _pieces(self.places, size):
            known |= rows.known(place.id for place in places)
            yield
        fresh = self._fresh(known)
        _check_room(rows, self.room, len(fresh))
        new: dict[bytes, int] = {}
        for places in _pieces(list(fresh.values()), size):
            numbers = rows.insert(places)
            assert numbers is not None, "every known id has been looked for"
            new |= zip((place.id for place in places), numbers, strict=True)
            yield
        return [
            (known[place.id], False) if place.id in known else (new[place.id], True)
            for place in self.places
        ]

    def _fresh(self, known: Container[bytes]) -> dict[bytes, Place]:
        """The events that are not here yet, each once."""
        fresh: dict[bytes, Place] = {}
        for place in self.places:
            if place.id in known or place.id in fresh:
                if not self.exist_ok:
                    raise _exists(place.id)
            elif place.id in self.foreign:
                raise ExistsError(
                    f"the event of id {UUID(bytes=place.id)} is held by another executor: append "
                    "event.as_fresh_event(), or load(executor.states.to_dict()) to take over "
                    "copies of all"
                )
            else:
                fresh[place.id] = place
        return fresh


@dataclass(slots=True)
class Enter:
    """Take in events with nothing on record; the number of each.

    Attributes:
        fresh: The events.
        room: How many may wait afterwards.
    """

    fresh: Sequence[Fresh]
    room: int | None = None

    def __call__(self, rows: Rows) -> list[int]:
        return _at_once(self.by_and_by(rows, len(self.fresh)))

    def by_and_by(self, rows: Rows, size: int) -> Generator[None, None, list[int]]:
        """The same in pieces of so many events; it yields between two of them."""
        last, ids = rows.last(), [one[0] for one in self.fresh]
        if self.room is not None and rows.known(ids):
            raise known_error(rows, ids, last)  # which no later time would change
        _check_room(rows, self.room, len(self.fresh))
        numbers: list[int] = []
        for piece in _pieces(self.fresh, size):
            taken = rows.insert_new(piece)
            if taken is None:
                raise known_error(rows, ids, last)
            numbers += taken
            yield
        return numbers


def known_error(rows: Rows, ids: Sequence[bytes], last: int) -> ExistsError:
    """Says which of some ids was there before the number ``last``, or is there twice."""
    before = (uid for uid, number in rows.known(ids).items() if number <= last)
    twice = (uid for uid, times in Counter(ids).items() if times > 1)
    return _exists(next(before, None) or next(twice))


def _at_once(work: Generator[None, None, T]) -> T:
    """What comes of work that may be done in pieces."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def _exists(uid: bytes) -> ExistsError:
    return ExistsError(
        f"an event of id {UUID(bytes=uid)} is known here already: nothing was appended; append "
        "event.as_fresh_event(), or pass exist_ok=True"
    )


def _check_room(rows: Rows, room: int | None, more: int) -> None:
    waiting = 0 if room is None or not more else rows.counts()[PENDING]
    if room is not None and more and waiting + more > room:
        raise QueueFullError(
            f"the queue holds {waiting} waiting events and may hold {room} (max_queue_size): "
            f"{more} more have no room; append them later",
            details={"queue_size": waiting, "max_size": room},
        )


def _pieces(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[at : at + size] for at in range(0, len(items), size))
