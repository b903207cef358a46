"""What a store offers beside, if it notices by itself that it has failed for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

from ..errors import StoreError

__all__ = ("Failing", "Failure")

Failure: TypeAlias = Callable[[StoreError], object]


@runtime_checkable
class Failing(Protocol):
    """Tells of a failure that no later call can mend, also while nobody asks it for anything.

    A worker whose slots are all taken may make no call for hours, and nothing of what it runs could
    be recorded.
    """

    def on_failed(self, hear: Failure) -> None:
        """Have this called with each such failure, until it is taken off."""

    def off_failed(self, hear: Failure) -> None:
        """Take it off, if it is there."""
