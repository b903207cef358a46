"""Context managers of observers around an append or an attempt, which cannot harm it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any

from ..model.event_data import EventData
from .safe_callbacks import SafeCallbacks

__all__ = ("OpenWrappers",)


class OpenWrappers:
    """Context managers that are entered one by one, and left in reverse order.

    An exception that one of them raises is counted and has no other effect, and none can suppress
    an exception. After an attempt, each is left with the error that is recorded: for a timeout this
    is the LionTimeoutError, not the cancellation.

    Args:
        calls: Makes the calls.
    """

    __slots__ = ("_calls", "_entered")

    def __init__(self, calls: SafeCallbacks) -> None:
        self._calls = calls
        self._entered: list[tuple[object, AbstractContextManager[Any], EventData]] = []

    def enter(
        self, wrapper: Callable[[Any], AbstractContextManager[Any]], argument: Any, event: EventData
    ) -> None:
        """Enter the context manager that ``wrapper(argument)`` returns."""
        manager = self._calls.call(wrapper, event, partial(_enter, wrapper, argument))
        if manager is not None:
            self._entered.append((wrapper, manager, event))

    def __enter__(self) -> None:
        """Do nothing: each context manager was entered by ``enter``."""

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
            self._calls.call(wrapper, event, partial(_leave, manager, given))


def _enter(
    wrapper: Callable[[Any], AbstractContextManager[Any]], argument: Any
) -> AbstractContextManager[Any]:
    manager = wrapper(argument)
    manager.__enter__()
    return manager


def _leave(manager: AbstractContextManager[Any], given: Any) -> None:
    """Leave a context manager; raising the error that it was given is no failure."""
    try:
        manager.__exit__(*given)
    except BaseException as error:
        if error is not given[1]:
            raise
