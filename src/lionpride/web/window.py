"""Time range of the timeline, as its URL has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .asked import number

__all__ = ["Window"]

LAST: Final = {"1m": 60.0, "5m": 300.0, "15m": 900.0}
LEAST: Final = 0.01
LONGEST: Final = 900.0


@dataclass(frozen=True, slots=True)
class Window:
    """A time range; it follows the present time unless it was zoomed.

    Attributes:
        begin, end: Unix timestamps in seconds.
        last: The word of the URL for the last minutes; empty if it was zoomed.
    """

    begin: float
    end: float
    last: str = ""

    @classmethod
    def of(cls, query: Mapping[str, Any], now: float) -> Window:
        """Return the range of a query; for invalid ones, the last five minutes.

        A range before 1970 or after now is moved to the nearest time at which events can be.
        """
        begin, end = number(query.get("from")), number(query.get("to"))
        if begin is not None and end is not None and LEAST / 2 <= end - begin <= LONGEST + LEAST:
            shown = min(max(begin, 0.0), now)
            return cls(shown, end if shown == begin else shown + (end - begin))
        last = str(query.get("last") or "")
        last = last if last in LAST else "5m"
        return cls(now - LAST[last], now, last)

    @property
    def length(self) -> float:
        """Its length in seconds."""
        return self.end - self.begin

    def zoomed(self, factor: float) -> dict[str, str]:
        """Return the query of a range that is longer by a factor, about the same middle.

        The range of the last minutes keeps its end instead.
        """
        length = min(LONGEST, max(LEAST, self.length * factor))
        end = self.end if self.last else (self.begin + self.end + length) / 2
        return _query(end - length, end)

    def moved(self, share: float) -> dict[str, str]:
        """Return the query of a range that is moved by a share of its length."""
        shift = self.length * share
        return _query(self.begin + shift, self.end + shift)

    @staticmethod
    def choices() -> list[str]:
        """Return the choices for the last minutes."""
        return list(LAST)


def _query(begin: float, end: float) -> dict[str, str]:
    return {"from": f"{begin:.3f}", "to": f"{end:.3f}"}
