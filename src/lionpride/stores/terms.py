"""Terms: what events may be appended with, beside a priority."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.execution import Execution

__all__ = ("Terms",)


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all events of one append.

    Attributes:
        due: Not to be run before this time, a Unix timestamp in seconds by the store's clock.
    """

    due: float | None = None

    def write(self, state: Execution) -> None:
        """Put them on record in the state of an event that is taken in."""
        if self.due is not None:
            state.due = self.due
