"""What observers put around an attempt: context managers that can harm nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Self

from ..model.work import Work
from ..rules.transition import Transition

__all__ = ("Around",)

Guarded = Callable[[object, Work, Callable[[], Any]], Any]


class Around:
    """Enters what observers put around an attempt, in their order, and leaves it backwards.

    What one of them raises is counted and goes no further, and none can swallow an exception.
    Each is left with the error that goes on record: for a timeout the LionTimeoutError, not the
    cancellation that it came by.

    Args:
        start: The step to PROCESSING.
        wrappers: What makes them.
        guarded: Calls a function for an observer, whatever it does.
    """

    __slots__ = ("_entered", "_guarded", "_start", "_wrappers", "error")

    def __init__(
        self,
        start: Transition,
        wrappers: Sequence[Callable[[Transition], AbstractContextManager[Any]]],
        guarded: Guarded,
    ) -> None:
        self._start = start
        self._wrappers = wrappers
        self._guarded = guarded
        self._entered: list[tuple[object, AbstractContextManager[Any]]] = []
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        for wrapper in self._wrappers:
            manager = self._guarded(wrapper, self._start.event, partial(self._enter, wrapper))
            if manager is not None:
                self._entered.append((wrapper, manager))
        return self

    def _enter(
        self, wrapper: Callable[[Transition], AbstractContextManager[Any]]
    ) -> AbstractContextManager[Any]:
        manager = wrapper(self._start)
        manager.__enter__()
        return manager

    def __exit__(self, *raised: object) -> None:
        error = self.error
        given = (None, None, None) if error is None else (type(error), error, error.__traceback__)
        while self._entered:
            wrapper, manager = self._entered.pop()
            self._guarded(wrapper, self._start.event, partial(_leave, manager, given))


def _leave(manager: AbstractContextManager[Any], given: Any) -> None:
    """Leave a context manager; that it raises the very error it is left with is no failure."""
    try:
        manager.__exit__(*given)
    except BaseException as error:
        if error is not given[1]:
            raise
