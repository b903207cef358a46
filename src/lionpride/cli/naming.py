"""The id of a line's event: the same line gets the same one in each run, so it is run once."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from uuid import UUID

__all__ = ["NAMESPACE", "line_ids"]

NAMESPACE = UUID("c2f7d5c4-6a0e-5d0b-9b1c-0a6c1f2b7e11")
"""Of our uuid5 ids, and of nothing else."""

_BOM = b"\xef\xbb\xbf"


def line_ids(queue: str) -> Callable[[int, bytes], UUID]:
    """Return a function that makes the id of a line of the queue, the line's number and its text.

    The queue is the target's: by default the registry key of its event class. Blanks around the
    text do not count. It is ``uuid5``, with what all lines have in common digested only once.
    """
    common = sha1(NAMESPACE.bytes + f"{queue}\n".encode(), usedforsecurity=False)

    def line_id(number: int, raw: bytes) -> UUID:
        digest = common.copy()
        digest.update(b"%d\n%b" % (number, raw.removeprefix(_BOM).strip()))
        return UUID(bytes=digest.digest()[:16], version=5)

    return line_id
