"""The error for an event that a queue does not have."""

from __future__ import annotations

from ..errors import NotFoundError
from ..model.work import Work

__all__ = ("not_here",)


def not_here(event: object, queue: str) -> NotFoundError:
    """Return the error for an event, an id or an arrival number that a queue does not have."""
    if isinstance(event, Work):
        return NotFoundError(f"{event!r} is not in queue {queue!r}: append it first")
    return NotFoundError(
        f"queue {queue!r} has no event {event!s}: check the id, and whether the event was removed "
        "or is in another queue"
    )
