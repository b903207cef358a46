"""Terms: what events may be appended with, beside a priority."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.execution import Execution
from ..model.policy import Retry

__all__ = ("Terms",)


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all events of one append.

    Attributes:
        due: Not to be run before this time, a Unix timestamp in seconds by the store's clock.
        retry: The retry policy, in place of the class's.
    """

    due: float | None = None
    retry: Retry | None = None

    def write(self, state: Execution) -> None:
        """Put them on record in the state of an event that is taken in."""
        if self.due is not None:
            state.due = self.due
        if self.retry is not None:
            state.retry = self.retry
