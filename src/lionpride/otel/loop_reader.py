"""Queries of a metrics collector to an executor, from any thread."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar
from weakref import ref

from ..core import EventStatus, Executor
from ..errors import LionprideError
from ..rules.queue_position import Room

__all__ = ("LoopReader",)

T = TypeVar("T")

_TIMEOUT: Final = 2.0
"""Seconds that another thread waits for the event loop to answer."""


class LoopReader:
    """Counts and limits of an executor: present values, or the last known ones.

    A collector calls in a thread of its own, or in the event loop's. The executor is not kept
    alive.

    Args:
        executor: The executor.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = ref(executor)
        self._counts: Mapping[EventStatus, int] = {}
        self._rooms: list[Room] = []

    def counts(self) -> Mapping[EventStatus, int]:
        """Return the number of events of the store in each status."""
        executor = self._executor()
        if executor is not None:
            self._counts = self._read(executor, executor.store.counts(), self._counts)
        return self._counts

    def rooms(self) -> list[Room]:
        """Return the usage of the limits."""
        executor = self._executor()
        if executor is not None and executor.limits:
            query = executor.store.limit_usage(executor.limits)  # type: ignore[arg-type]
            self._rooms = self._read(executor, query, self._rooms)
        return self._rooms

    def lost(self) -> int:
        """Return the number of refused outcomes."""
        executor = self._executor()
        return 0 if executor is None else executor.observers.lost

    def _read(self, executor: Executor, query: Coroutine[Any, Any, T], last_known: T) -> T:
        """Return the answer; if it is not available now, the last known one."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        try:
            if running is not None:  # the loop cannot wait for its own answer
                return _at_once(query, last_known)
            return executor.run_threadsafe(query).result(_TIMEOUT)
        except (LionprideError, TimeoutError, RuntimeError):
            query.close()
            return last_known


def _at_once(query: Coroutine[Any, Any, T], last_known: T) -> T:
    try:
        query.send(None)
    except StopIteration as answer:
        value: T = answer.value
        return value
    query.close()
    return last_known
