"""Bells: who asked to be called once, when something has happened in a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

__all__ = ("Bell", "Bells", "Ringing")

Bell: TypeAlias = Callable[[], None]


class Bells:
    """The kinds of a store's bells; most ring once, and are hung anew by who wants more.

    Attributes:
        ready: Those that ring when a claim may find something new.
        new: Those that ring then too, each time: they stay until they are taken off.
        idle: Those that ring when nothing may be pending or claimed any more.
        room: Those that ring when fewer events may wait than before.
        ended: Those that ring when the event of a number may have ended.
    """

    __slots__ = ("_numbers", "ended", "idle", "new", "ready", "room")

    def __init__(self) -> None:
        self.ready: list[Bell] = []
        self.new: list[Bell] = []
        self.idle: list[Bell] = []
        self.room: list[Bell] = []
        self.ended: dict[int, list[Bell]] = {}
        self._numbers: dict[Bell, list[int]] = {}  # where a bell hangs: many may be taken off

    def any(self) -> bool:
        """Whether one hangs."""
        return bool(self.ready or self.new or self.idle or self.room or self.ended)

    def on_ended(self, number: int, bell: Bell) -> None:
        """Ring when the event of a number may have ended."""
        self.ended.setdefault(number, []).append(bell)
        self._numbers.setdefault(bell, []).append(number)

    def off(self, bell: Bell) -> None:
        """Take off a bell, if it hangs."""
        for bells in (self.ready, self.new, self.idle, self.room):
            if bell in bells:
                bells.remove(bell)
        for number in self._numbers.pop(bell, ()):
            bells = self.ended[number]
            bells.remove(bell)
            if not bells:
                del self.ended[number]

    def ring_ready(self) -> None:
        """A claim may find something new."""
        bells, self.ready = (*self.ready, *self.new), []
        for bell in bells:
            bell()

    def ring_idle(self) -> None:
        """Nothing may be pending or claimed any more."""
        bells, self.idle = self.idle, []
        for bell in bells:
            bell()

    def ring_room(self) -> None:
        """Fewer events may wait than before."""
        bells, self.room = self.room, []
        for bell in bells:
            bell()

    def ring_ended(self, numbers: Iterable[int]) -> None:
        """The events of these numbers may have ended."""
        for number in numbers:
            bells = self.ended.pop(number, ())
            for bell in bells:
                self._unhook(bell, number)
            for bell in bells:
                bell()

    def _unhook(self, bell: Bell, number: int) -> None:
        numbers = self._numbers[bell]
        numbers.remove(number)
        if not numbers:
            del self._numbers[bell]


class Ringing:
    """The verbs of a store that need nothing but its bells."""

    _bells: Bells

    def on_ready(self, bell: Bell) -> None:
        """As ``Store.on_ready``."""
        self._bells.ready.append(bell)

    def on_idle(self, bell: Bell) -> None:
        """As ``Store.on_idle``."""
        self._bells.idle.append(bell)

    def on_room(self, bell: Bell) -> None:
        """As ``Store.on_room``."""
        self._bells.room.append(bell)

    def ring_idle(self) -> None:
        """As ``Store.ring_idle``."""
        self._bells.ring_idle()

    def off(self, bell: Bell) -> None:
        """As ``Store.off``."""
        self._bells.off(bell)
