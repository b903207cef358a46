"""Terms: the options of an append besides the priority."""

from __future__ import annotations

from typing import NamedTuple

from ..model.execution import Execution
from ..model.retry_policy import Retry

__all__ = ("Terms",)


class Terms(NamedTuple):
    """Options of all events of one append.

    Attributes:
        due: The earliest start, a Unix timestamp in seconds by the store's clock.
        expires: The latest start, a Unix timestamp in seconds by the store's clock.
        retry: The retry policy, in place of the policy of the class.
        unique: A value and the time of the append. While an event with this value is pending or
            running, the append returns that event. Such terms are for one event only.
        period: Seconds after the append of the other event for which this holds even if that event
            has finished.
    """

    due: float | None = None
    expires: float | None = None
    retry: Retry | None = None
    unique: tuple[str, float] | None = None
    period: float = 0.0

    def write(self, state: Execution) -> None:
        """Write the terms into the state of an appended event."""
        if self.due is not None:
            state.due = self.due
        if self.expires is not None:
            state.expires = self.expires
        if self.retry is not None:
            state.retry = self.retry
        if self.unique is not None:
            state.unique = self.unique

    def are_met_by(self, unique: tuple[str, float], waits: bool) -> bool:
        """Return True if an existing event takes the place of the one to append.

        Args:
            unique: The value of the existing event, and the time of its append.
            waits: True if it is pending or running.
        """
        assert self.unique is not None, "callers check it"
        value, now = self.unique
        return value == unique[0] and (waits or unique[1] + self.period > now)
