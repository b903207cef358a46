"""Time range of the timeline, as its URL has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .query_params import number

__all__ = ["TimeRange"]

LAST_MINUTES: Final = {"1m": 60.0, "5m": 300.0, "15m": 900.0}
MIN_LENGTH: Final = 0.01
MAX_LENGTH: Final = 900.0


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A time range; it follows the present time unless it was zoomed.

    Attributes:
        begin, end: Unix timestamps in seconds.
        last: The word of the URL for the last minutes; empty if it was zoomed.
    """

    begin: float
    end: float
    last: str = ""

    @classmethod
    def of(cls, query: Mapping[str, Any], now: float) -> TimeRange:
        """Return the range of a query; if it is invalid, the last five minutes.

        A range before 1970 or after now is moved to the nearest time at which events can be.
        """
        begin, end = number(query.get("from")), number(query.get("to"))
        if (
            begin is not None
            and end is not None
            and MIN_LENGTH / 2 <= end - begin <= MAX_LENGTH + MIN_LENGTH
        ):
            shown = min(max(begin, 0.0), now)
            return cls(shown, end if shown == begin else shown + (end - begin))
        last = str(query.get("last") or "")
        last = last if last in LAST_MINUTES else "5m"
        return cls(now - LAST_MINUTES[last], now, last)

    @property
    def length(self) -> float:
        """Its length in seconds."""
        return self.end - self.begin

    def zoomed(self, factor: float) -> dict[str, str]:
        """Return the query of a range that is longer by a factor, about the same middle.

        The range of the last minutes keeps its end instead.
        """
        length = min(MAX_LENGTH, max(MIN_LENGTH, self.length * factor))
        end = self.end if self.last else (self.begin + self.end + length) / 2
        return _query(end - length, end)

    def moved(self, share: float) -> dict[str, str]:
        """Return the query of a range that is moved by a share of its length."""
        shift = self.length * share
        return _query(self.begin + shift, self.end + shift)

    @staticmethod
    def choices() -> list[str]:
        """Return the choices for the last minutes."""
        return list(LAST_MINUTES)


def _query(begin: float, end: float) -> dict[str, str]:
    return {"from": f"{begin:.3f}", "to": f"{end:.3f}"}
