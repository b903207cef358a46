"""Ordering: the ids of a progression, quick at both ends and by id."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast, overload
from uuid import UUID

__all__ = ("Ordering",)

_SMALL = 32
"""So many dead slots are kept without asking whether they are too many."""


class Ordering(Sequence[UUID]):
    """A list of ids, repeats allowed, where removing leaves a hole instead of moving the rest.

    ``append``, ``remove``, ``popleft``, ``pop()`` and ``in`` take constant time at any size,
    averaged over many. ``[i]`` does too, but closes the holes first (one pass) if any id
    between the first and the last was removed before. All else is one pass, as with a list.

    How it stands:

    - ``_slots`` holds the ids and None for holes. What is before ``_head`` is dead; the slot at
      ``_head`` and the last slot are never holes, so both ends are found at once.
    - A slot's serial, ``_base`` + its index, stays the same when the dead front is cut off.
    - ``_places`` maps each id to its serial, or to a deque of them, rising, if it is here more
      than once. It is made when first asked for, and None after the slots were renumbered.
    """

    __slots__ = ("_base", "_head", "_holes", "_places", "_slots")

    _slots: list[UUID | None]
    _places: dict[UUID, int | deque[int]] | None

    def __init__(self, ids: Iterable[UUID] = ()) -> None:
        self.replace(ids)

    def replace(self, ids: Iterable[UUID]) -> None:
        """Hold these ids from now on."""
        self._slots = list(ids)
        self._head = self._holes = self._base = 0
        self._places = None

    def __reduce__(self) -> tuple[type[Ordering], tuple[list[UUID]]]:
        return Ordering, (self.ids(),)

    # --- reading

    def ids(self) -> list[UUID]:
        """A new list of the ids."""
        return [uid for uid in self._slots[self._head :] if uid is not None]

    def __len__(self) -> int:
        return len(self._slots) - self._head - self._holes

    def __iter__(self) -> Iterator[UUID]:
        return iter(self.ids())

    def __reversed__(self) -> Iterator[UUID]:
        return reversed(self.ids())

    def __contains__(self, uid: object) -> bool:
        return uid in self._index()

    @overload
    def __getitem__(self, index: int) -> UUID: ...
    @overload
    def __getitem__(self, index: slice) -> list[UUID]: ...
    def __getitem__(self, index: int | slice) -> UUID | list[UUID]:
        if isinstance(index, slice):
            return self.ids()[index]
        slot = self._slot(index)  # first, since it may renew the slots
        return cast("UUID", self._slots[slot])

    def index(self, uid: Any, start: int = 0, stop: int | None = None) -> int:
        """The position of the first of this id; ValueError if there is none."""
        if start or stop is not None:
            return self.ids().index(uid, start, len(self) if stop is None else stop)
        if uid not in self:
            raise ValueError(f"{uid} is not in the order")
        self._close_holes()
        return self._first(uid) - self._base - self._head

    # --- changing

    def append(self, uid: UUID) -> None:
        """Add an id at the end."""
        if self._places is not None:
            _note(self._places, uid, self._base + len(self._slots))
        self._slots.append(uid)

    def extend(self, ids: Iterable[UUID]) -> None:
        """Add ids at the end."""
        for uid in ids:
            self.append(uid)

    def insert(self, index: int, uid: UUID) -> None:
        """Put an id before a position; as in a list, one out of range means the nearest end."""
        if index >= len(self):
            self.append(uid)
        else:
            ids = self.ids()
            ids.insert(index, uid)
            self.replace(ids)

    def __setitem__(self, index: int, uid: UUID) -> None:
        slot = self._slot(index)  # first, since it may renew the slots
        self._slots[slot] = uid
        self._places = None

    def remove(self, uid: UUID) -> None:
        """Remove the first of this id; ValueError if there is none."""
        if uid not in self:
            raise ValueError(f"{uid} is not in the order")
        self._take(self._first(uid) - self._base)

    def pop(self, index: int = -1) -> UUID:
        """Remove and return the id at a position; IndexError if there is none."""
        return self._take(self._slot(index))

    # --- slots and places

    def _slot(self, index: int) -> int:
        """The slot of a position, counted from the end if negative."""
        size = len(self)
        position = index + size if index < 0 else index
        if not 0 <= position < size:
            raise IndexError(f"index {index} is out of range: there are {size} ids")
        if position == size - 1:
            return len(self._slots) - 1
        if position:
            self._close_holes()
        return self._head + position

    def _index(self) -> dict[UUID, int | deque[int]]:
        """The places, made anew if they are out of date."""
        if self._places is None:
            self._places = {}
            for serial, uid in enumerate(self._slots, self._base):
                if uid is not None:
                    _note(self._places, uid, serial)
        return self._places

    def _first(self, uid: UUID) -> int:
        """The serial of the first of an id that is here."""
        place = self._index()[uid]
        return place if isinstance(place, int) else place[0]

    def _take(self, slot: int) -> UUID:
        """Remove and return the id in a slot."""
        uid = cast("UUID", self._slots[slot])
        if self._places is not None:
            _forget(self._places, uid, self._base + slot)
        self._slots[slot] = None
        self._holes += 1
        self._trim()
        return uid

    def _trim(self) -> None:
        """Drop holes at both ends, and the dead slots once they are the greater part."""
        slots = self._slots
        while self._holes and slots[-1] is None:
            slots.pop()
            self._holes -= 1
        while self._holes and slots[self._head] is None:
            self._head += 1
            self._holes -= 1
        if self._head > _SMALL and self._head * 2 > len(slots):
            self._cut_front()
        if self._holes > _SMALL and self._holes * 2 > len(slots):
            self._close_holes()

    def _cut_front(self) -> None:
        """Give up the dead slots before the head; the serials stay."""
        del self._slots[: self._head]
        self._base += self._head
        self._head = 0

    def _close_holes(self) -> None:
        """Move the ids together if there are holes between them; the places are lost."""
        if self._holes:
            self.replace(self.ids())


def _note(places: dict[UUID, int | deque[int]], uid: UUID, serial: int) -> None:
    """Add the last place of an id."""
    known = places.get(uid)
    if known is None:
        places[uid] = serial
    elif isinstance(known, int):
        places[uid] = deque((known, serial))
    else:
        known.append(serial)


def _forget(places: dict[UUID, int | deque[int]], uid: UUID, serial: int) -> None:
    """Drop one place of an id."""
    known = places[uid]
    if isinstance(known, int):
        del places[uid]
        return
    if known[-1] == serial:
        known.pop()
    else:
        known.remove(serial)  # the first, but for a pop in the middle
    if len(known) == 1:
        places[uid] = known[0]
