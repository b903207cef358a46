"""Terms: what events may be appended with, beside a priority."""

from __future__ import annotations

from typing import NamedTuple

from ..model.execution import Execution
from ..model.policy import Retry

__all__ = ("Terms",)


class Terms(NamedTuple):
    """What holds for all events of one append.

    Attributes:
        due: Not to be run before this time, a Unix timestamp in seconds by the store's clock.
        expires: Not to be started after this time, likewise.
        retry: The retry policy, in place of the class's.
        unique: A value, and the time of the append: while an event of this value waits or is
            claimed, it stands for the one to append. Terms with it are for one event alone.
        period: Seconds after its append for which it does so too if it has ended.
    """

    due: float | None = None
    expires: float | None = None
    retry: Retry | None = None
    unique: tuple[str, float] | None = None
    period: float = 0.0

    def write(self, state: Execution) -> None:
        """Put them on record in the state of an event that is taken in."""
        if self.due is not None:
            state.due = self.due
        if self.expires is not None:
            state.expires = self.expires
        if self.retry is not None:
            state.retry = self.retry
        if self.unique is not None:
            state.unique = self.unique

    def are_met_by(self, unique: tuple[str, float], waits: bool) -> bool:
        """Whether an event stands for the one to append.

        Args:
            unique: Its value, and when it was appended.
            waits: Whether it waits or is claimed.
        """
        assert self.unique is not None, "nobody asks otherwise"
        value, now = self.unique
        return value == unique[0] and (waits or unique[1] + self.period > now)
