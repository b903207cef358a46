"""Ids in order of time: UUIDs of version 7 (RFC 9562, section 5.7).

A store keeps an index of ids. Random ones each go to another page of it, so that an append costs
three times as much beside a million events as beside none; ids in order of time go to its end.
"""

from __future__ import annotations

import os
from os import urandom
from struct import Struct, unpack
from typing import Any, Final
from uuid import UUID, SafeUUID

__all__ = ("bytes_of", "made_id")

_TICKS: Final = 1000.0 * 4096.0
"""The parts of a second that an id tells apart: a 4096th of a millisecond."""

_LAST: Final = 2.0**38
"""A time in seconds whose milliseconds would fit into their 48 bits still."""

_VERSION: Final = 0x7000
_GAP: Final = 0x10000 - 0x1000
"""What the version's four bits make of each millisecond in front of them."""

_VARIANT: Final = bytes(each & 0x3F | 0x80 for each in range(256))
"""A byte of chance, as one that has the variant in it."""

_DRAWN: Final = 256
"""Ids whose chance is drawn at once: the kernel takes longer to be asked than to answer."""

_UNKNOWN: Final = SafeUUID.unknown  # an enum's member takes its time to be asked for
_pack = Struct(">Q8s").pack
_new = object.__new__
_set_int = vars(UUID)["int"].__set__
_set_is_safe = vars(UUID)["is_safe"].__set__
_chances: list[bytes] = []

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_chances.clear)  # or both processes would make the same ids


def bytes_of(own: dict[str, Any], created: float) -> bytes:
    """The 16 bytes of an element's id, with no need for the object around them.

    A new one has 48 bits of milliseconds, 12 of their fraction, 62 of chance.

    Args:
        own: The element's ``__dict__``.
        created: When the element was made, as a Unix timestamp in seconds.
    """
    made: bytes | None = own.get("_id")
    if made is None:
        uid: UUID | None = own.get("id")
        if uid is not None:
            return uid.bytes
        ticks = int(created * _TICKS) if 0.0 < created < _LAST else 0
        chance = _chances.pop() if _chances else _draw()
        made = own["_id"] = _pack((ticks >> 12) * _GAP + ticks + _VERSION, chance)
    return made


def made_id(own: dict[str, Any], created: float) -> UUID:
    """The id of an element that has none yet, or the bytes of one; see ``bytes_of``."""
    made: bytes | None = own.pop("_id", None)
    return _uuid(int.from_bytes(bytes_of({}, created) if made is None else made, "big"))


def _uuid(number: int) -> UUID:
    uid = _new(UUID)  # its constructor would look for faults in what has none, in twice the time
    _set_int(uid, number)
    _set_is_safe(uid, _UNKNOWN)
    return uid


def _draw() -> bytes:
    """62 bits of chance, behind the variant; the next ones are at hand then."""
    drawn = bytearray(urandom(_DRAWN * 8))
    drawn[::8] = drawn[::8].translate(_VARIANT)
    _chances.extend(unpack("8s" * _DRAWN, drawn))
    return _chances.pop()
