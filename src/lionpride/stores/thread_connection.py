"""A synchronous connection of a caller, which is used in the caller's thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

__all__ = ("RunInThread", "ThreadConnection")

T = TypeVar("T")


class RunInThread(Protocol):
    """Runs a function in the thread of a caller, and returns its result."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class ThreadConnection:
    """A synchronous database connection, as ``connection=`` of an append.

    Attributes:
        connection: The connection.
        run: Runs a function in the thread that may use the connection.
    """

    connection: Any
    run: RunInThread
