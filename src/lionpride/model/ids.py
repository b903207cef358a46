"""Ids in order of time: UUIDs of version 7 (RFC 9562, section 5.7).

A store keeps an index of ids. Random ones each go to another page of it, so that an append costs
three times as much beside a million events as beside none; ids in order of time go to its end.
"""

from __future__ import annotations

import os
from os import urandom
from struct import unpack
from typing import Any, Final
from uuid import UUID, SafeUUID

__all__ = ("made_id", "number_of")

_MARKS: Final = 0x7 << 76 | 0b10 << 62
"""The version and the variant."""

_DRAWN: Final = 256
"""Ids whose chance is drawn at once: the kernel takes longer to be asked than to answer."""

_UNKNOWN: Final = SafeUUID.unknown  # an enum's member takes its time to be asked for
_new = object.__new__
_set_int = vars(UUID)["int"].__set__
_set_is_safe = vars(UUID)["is_safe"].__set__
_chances: list[int] = []

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_chances.clear)  # or both processes would make the same ids


def number_of(own: dict[str, Any], created: float) -> int:
    """The number that an element's id stands for, with no need for the object around it.

    A new one has 48 bits of milliseconds, 12 of their fraction, 62 of chance.

    Args:
        own: The element's ``__dict__``.
        created: When the element was made, as a Unix timestamp in seconds.
    """
    uid: UUID | None = own.get("id")
    if uid is not None:
        return uid.int
    number: int | None = own.get("_id")
    if number is None:
        number = own["_id"] = _number(created)
    return number


def made_id(own: dict[str, Any], created: float) -> UUID:
    """The id of an element that has none yet, or the number of one; see ``number_of``."""
    number = own.pop("_id", None)
    return _uuid(_number(created) if number is None else number)


def _number(created: float) -> int:
    milliseconds = created * 1000.0 if created > 0.0 else 0.0
    whole = int(milliseconds)
    try:
        chance = _chances.pop()
    except IndexError:
        chance = _draw()
    time = (whole & 0xFFFFFFFFFFFF) << 80 | int((milliseconds - whole) * 4096.0) << 64
    return time | _MARKS | chance


def _uuid(number: int) -> UUID:
    uid = _new(UUID)  # its constructor would look for faults in what has none, in twice the time
    _set_int(uid, number)
    _set_is_safe(uid, _UNKNOWN)
    return uid


def _draw() -> int:
    """62 bits of chance; the next ones are at hand then."""
    drawn: tuple[int, ...] = unpack(f"{_DRAWN}Q", urandom(_DRAWN * 8))
    _chances.extend(each >> 2 for each in drawn[1:])
    return drawn[0] >> 2
