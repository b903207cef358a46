"""What a store offers beside, if it notices by itself that it has failed for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

from ..errors import StoreError

__all__ = ("Failing", "Failure")

Failure: TypeAlias = Callable[[StoreError], object]


@runtime_checkable
class Failing(Protocol):
    """Reports a failure that no later call can mend, without being asked.

    A worker whose slots are all taken may make no call for hours, while none of its outcomes could
    be recorded.
    """

    def on_failed(self, hear: Failure) -> None:
        """Call this with each such failure, until ``off_failed``."""

    def off_failed(self, hear: Failure) -> None:
        """Remove a callback, if it was added."""
