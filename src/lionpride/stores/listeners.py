"""Listeners: callbacks that a store calls when something has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Final, TypeAlias

__all__ = ("Listener", "Listeners", "Signal", "Unsubscribe")

Listener: TypeAlias = Callable[..., object]
Unsubscribe: TypeAlias = Callable[[], None]


class Signal(Enum):
    """Signals of a store to listeners in its process.

    READY, IDLE, CAPACITY, FINISHED and SCHEDULES are hints: a listener may be called although
    nothing has changed, and has to look. Several changes may be one call.
    """

    READY = "ready"
    """A claim may find something new. A listener that stays is called once for all events that
    come between two claims."""
    IDLE = "idle"
    """Nothing may be pending or claimed any more, or a worker has stopped."""
    CAPACITY = "capacity"
    """The number of pending events may have fallen."""
    FINISHED = "finished"
    """An event, which ``subscribe`` names, may have finished or been removed. If another process
    runs it, its progress may have changed."""
    EXPIRED = "expired"
    """An event of this process expired, was finished by a reap, or was cancelled for a parent; or
    it waits again for a parent that was retried. The listener gets the event and its status before:
    PENDING, PROCESSING or CANCELLED."""
    SCHEDULES = "schedules"
    """A schedule may have changed."""
    FAILED = "failed"
    """The store has failed for good: no later call can succeed. The listener gets the StoreError.
    A worker whose slots are all busy may call the store for the next time in an hour."""


_Group: TypeAlias = dict[object, tuple[Listener, bool]]
"""Listeners by a key of their own; the flag says that one is called once."""


class Listeners:
    """The listeners of a store.

    Attributes:
        ready: The listeners for READY that stay.
        ready_once: The listeners for READY that are called once.
        idle: The listeners for IDLE.
        capacity: The listeners for CAPACITY.
        finished: The listeners for FINISHED, by the number of the event.
        schedules: The listeners for SCHEDULES.
    """

    __slots__ = (
        "capacity",
        "expired",
        "failed",
        "finished",
        "idle",
        "ready",
        "ready_once",
        "schedules",
    )

    def __init__(self) -> None:
        self.ready: tuple[Listener, ...] = ()
        self.ready_once: _Group = {}
        self.idle: _Group = {}
        self.capacity: _Group = {}
        self.finished: dict[int, _Group] = {}
        self.expired: _Group = {}
        self.failed: _Group = {}
        self.schedules: _Group = {}

    def subscribe(
        self, signal: Signal, listener: Listener, *, number: int | None = None, once: bool = False
    ) -> Unsubscribe:
        """Call a listener from now on; see ``Store.subscribe``.

        Args:
            signal: The signal.
            listener: It must not raise.
            number: The number of the event, for FINISHED.
            once: True to remove the listener when it is called.
        """
        if signal is Signal.READY and not once:
            self.ready = (*self.ready, listener)
            return lambda: self._remove_ready(listener)
        if signal is Signal.FINISHED:
            assert number is not None, "a listener for FINISHED names its event"
            group = self.finished.setdefault(number, {})
        else:
            group = getattr(self, _GROUPS[signal])
        key = object()
        group[key] = listener, once

        def unsubscribe() -> None:
            if group.pop(key, None) is not None and number is not None:
                self._forget_if_empty(number, group)

        return unsubscribe

    def any_hint(self) -> bool:
        """Return True if a listener waits for a hint."""
        hints = self.ready, self.ready_once, self.idle, self.capacity, self.finished, self.schedules
        return any(hints)

    def notify_ready(self) -> None:
        """A claim may find something new."""
        if self.ready_once:
            _call(self.ready_once)
        for listener in self.ready:
            listener()

    def notify_idle(self) -> None:
        """Nothing may be pending or claimed any more."""
        if self.idle:
            _call(self.idle)

    def notify_capacity(self) -> None:
        """The number of pending events may have fallen."""
        if self.capacity:
            _call(self.capacity)

    def notify_finished(self, numbers: Iterable[int]) -> None:
        """The events of these numbers may have finished."""
        finished = self.finished
        for number in numbers:
            group = finished.get(number)
            if group is not None:
                entries = _take(group)
                self._forget_if_empty(number, group)
                for listener in entries:
                    listener()

    def notify_expired(self, *changed: Any) -> None:
        """An event expired: the event, and its status before."""
        _call(self.expired, *changed)

    def notify_schedules(self) -> None:
        """A schedule may have changed."""
        if self.schedules:
            _call(self.schedules)

    def notify_failed(self, error: Exception) -> None:
        """The store has failed for good."""
        _call(self.failed, error)

    def _remove_ready(self, listener: Listener) -> None:
        if listener in self.ready:
            at = self.ready.index(listener)
            self.ready = self.ready[:at] + self.ready[at + 1 :]

    def _forget_if_empty(self, number: int, group: _Group) -> None:
        if not group and self.finished.get(number) is group:
            del self.finished[number]


_GROUPS: Final = {
    Signal.READY: "ready_once",
    Signal.IDLE: "idle",
    Signal.CAPACITY: "capacity",
    Signal.EXPIRED: "expired",
    Signal.FAILED: "failed",
    Signal.SCHEDULES: "schedules",
}


def _take(group: _Group) -> list[Listener]:
    """Return the listeners of a group, and remove those that are called once."""
    entries = list(group.items())
    for key, (_, once) in entries:
        if once:
            del group[key]
    return [listener for _, (listener, _) in entries]


def _call(group: _Group, *arguments: Any) -> None:
    for listener in _take(group):
        listener(*arguments)
