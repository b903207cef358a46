"""The figures that a run is held to, and the verdict on a figure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A figure must reach ``limit``. Down to ``floor`` the difference may be noise."""

    limit: float
    floor: float | None = None
    at_least: bool = True
    unit: str = ""

    def verdict(self, figure: float) -> str:
        if self.reached(figure, self.limit):
            return "ok"
        if self.floor is not None and self.reached(figure, self.floor):
            return "ok (floor)"
        return "MISS"

    def reached(self, figure: float, mark: float) -> bool:
        return figure >= mark if self.at_least else figure <= mark

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        floor = f" ({self.floor:g})" if self.floor is not None else ""
        return f"{sign} {self.limit:g}{floor}{self.unit}"


def at_most(limit: float, unit: str = "") -> Bar:
    return Bar(limit, at_least=False, unit=unit)


OF_PRIORITY_QUEUE = Bar(0.5, floor=0.45)
THAN_AIOJOBS = Bar(1.0)
THAN_ORIGINAL = Bar(60.0)
LATENCY_OF_PRIORITY_QUEUE = at_most(1.5)
TRANSITION_GROWTH = {"arrival": at_most(1.5), "random": at_most(2.2)}

OF_RAW_SQLITE = Bar(0.6)
THAN_HUEY = Bar(10.0)
THAN_DBOS = Bar(50.0)
SQLITE_GROWTH = at_most(1.5)
RESIDENT = at_most(50, " MB")

OF_RAW_POSTGRES = Bar(0.7, floor=0.5)
THAN_PGQUEUER = Bar(2.0, floor=1.3)
THAN_PROCRASTINATE = Bar(25.0, floor=15.0)
THAN_ON_REDIS = Bar(5.0, floor=3.0)
POSTGRES_GROWTH = at_most(1.3)
LATENCY_OF_LISTEN = at_most(1.5)
