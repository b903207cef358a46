"""What observers put around an append or an attempt: context managers that can harm nobody."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any

from ..model.work import Work

__all__ = ("Around",)

Guarded = Callable[[object, Work, Callable[[], Any]], Any]


class Around:
    """Context managers of observers that are entered one after another, and left backwards.

    What one of them raises is counted and goes no further, and none can swallow an exception.
    Around an attempt, each is left with the error that goes on record: for a timeout the
    LionTimeoutError, not the cancellation that it came by.

    Args:
        guarded: Calls a function for an observer, whatever it does.
    """

    __slots__ = ("_entered", "_guarded")

    def __init__(self, guarded: Guarded) -> None:
        self._guarded = guarded
        self._entered: list[tuple[object, AbstractContextManager[Any], Work]] = []

    def enter(
        self, wrapper: Callable[[Any], AbstractContextManager[Any]], what: Any, event: Work
    ) -> None:
        """Enter what ``wrapper(what)`` gives."""
        manager = self._guarded(wrapper, event, partial(_enter, wrapper, what))
        if manager is not None:
            self._entered.append((wrapper, manager, event))

    def __enter__(self) -> None:
        """Nothing is left to do: what there is was entered one by one."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave(error)

    def leave(self, error: BaseException | None) -> None:
        """Leave all of them, with an error or with none."""
        given = (None, None, None) if error is None else (type(error), error, error.__traceback__)
        while self._entered:
            wrapper, manager, event = self._entered.pop()
            self._guarded(wrapper, event, partial(_leave, manager, given))


def _enter(
    wrapper: Callable[[Any], AbstractContextManager[Any]], what: Any
) -> AbstractContextManager[Any]:
    manager = wrapper(what)
    manager.__enter__()
    return manager


def _leave(manager: AbstractContextManager[Any], given: Any) -> None:
    """Leave a context manager; that it raises the very error it is left with is no failure."""
    try:
        manager.__exit__(*given)
    except BaseException as error:
        if error is not given[1]:
            raise
