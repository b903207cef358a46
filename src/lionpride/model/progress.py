"""Live state of a running attempt: its chunks so far, and its last progress report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

__all__ = ("BEGAN", "ENTRY", "Live", "Progress")

ENTRY: Final = "_live"
"""Its entry in an event's ``__dict__``; copies and dumps do not have it."""


BEGAN: Final = "_began"
"""The entry with the start of the attempt in this process, in seconds of the loop's clock."""


class Progress(NamedTuple):
    """A progress report of an event.

    Attributes:
        fraction: Finished share of the work, 0 to 1; None if unknown.
        note: A short text; may be empty.
    """

    fraction: float | None
    note: str = ""


class Live:
    """Live state of an attempt, and the listeners for changes of it.

    It is created for the first report, chunk or listener; most events never have one.

    Attributes:
        attempt: The number of the attempt.
        chunks: The chunks of a stream so far; None if the attempt is not a stream.
        progress: The last progress report of the attempt.
        listeners: Each is called once, when an attempt begins, or there is a chunk or a report.
    """

    __slots__ = ("attempt", "chunks", "listeners", "progress")

    def __init__(self) -> None:
        self.attempt = 0
        self.chunks: list[Any] | None = None
        self.progress: Progress | None = None
        self.listeners: list[Callable[[], None]] = []

    @classmethod
    def of(cls, own: dict[str, Any]) -> Live:
        """Return the live state of an event by its ``__dict__``; create it if there is none."""
        live = own.get(ENTRY)
        if live is None:
            live = own[ENTRY] = cls()
        return live

    @classmethod
    def now(cls, own: dict[str, Any]) -> Live | None:
        """Return the live state of an event's present or last attempt; None if there is none."""
        live = own.get(ENTRY)
        return live if live is not None and live.attempt == own.get("_attempt", 0) else None

    def begin(self, attempt: int, chunks: list[Any] | None = None) -> None:
        """Show a new attempt, and no longer the earlier one."""
        self.attempt, self.chunks, self.progress = attempt, chunks, None
        self.notify()

    def notify(self) -> None:
        """Call the listeners."""
        listeners, self.listeners = self.listeners, []
        for listener in listeners:
            listener()

    @classmethod
    def unsubscribe(cls, own: dict[str, Any], listener: Callable[[], None]) -> None:
        """Remove a listener; delete live state that is not needed any more."""
        live = own.get(ENTRY)
        if live is None:
            return
        if listener in live.listeners:
            live.listeners.remove(listener)
        is_used = live.listeners or live.progress is not None
        if not is_used and own.get("_status") != "processing":
            del own[ENTRY]
