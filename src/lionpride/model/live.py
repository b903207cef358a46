"""What an attempt shows of itself while it runs: its chunks so far, and how far it says it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

__all__ = ("BEGAN", "ENTRY", "Live", "Progress")

ENTRY: Final = "_live"
"""The entry that it has in an event's ``__dict__``; no copy and no dump has it."""


BEGAN: Final = "_began"
"""The entry that says when this process entered its code last, in seconds of the loop's clock."""


class Progress(NamedTuple):
    """How far the work of an event is, as it says itself.

    Attributes:
        fraction: From 0 to 1; None if it does not know.
        note: A few words; may be empty.
    """

    fraction: float | None
    note: str = ""


class Live:
    """What there is to see of an attempt before its end, and who wants to hear of more.

    It is made when there is something to see, or somebody who looks; most events never have one.

    Attributes:
        attempt: The number of the attempt.
        chunks: What a stream has yielded so far: its response, if it ends well; None if the
            attempt is no stream.
        progress: What the attempt has last said of itself.
        bells: Each is called once, when an attempt begins or a chunk comes.
    """

    __slots__ = ("attempt", "bells", "chunks", "progress")

    def __init__(self) -> None:
        self.attempt = 0
        self.chunks: list[Any] | None = None
        self.progress: Progress | None = None
        self.bells: list[Callable[[], None]] = []

    @classmethod
    def of(cls, own: dict[str, Any]) -> Live:
        """That of an event, by its ``__dict__``; made if there is none."""
        live = own.get(ENTRY)
        if live is None:
            live = own[ENTRY] = cls()
        return live

    @classmethod
    def now(cls, own: dict[str, Any]) -> Live | None:
        """That of an event's present or last attempt, if there is anything to see of that."""
        live = own.get(ENTRY)
        return live if live is not None and live.attempt == own.get("_attempt", 0) else None

    def begin(self, attempt: int, chunks: list[Any] | None = None) -> None:
        """Show an attempt, and nothing of those before."""
        self.attempt, self.chunks, self.progress = attempt, chunks, None
        self.ring()

    def ring(self) -> None:
        """Ring the bells."""
        bells, self.bells = self.bells, []
        for bell in bells:
            bell()
