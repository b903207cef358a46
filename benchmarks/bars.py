"""What was promised: every bar of the issue as a value, and the verdict on a figure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A figure must reach `limit`; down to `floor` it is the machine's noise that speaks."""

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


WHOLE_PATH = Bar(0.5, floor=0.45)
ENGINE_ONLY = Bar(0.8, floor=0.65)
OF_QUEUE = Bar(0.5)
LIMITED = Bar(0.5)
MEASURED = Bar(0.7)
TRACED = Bar(0.6)
THAN_AIOJOBS = Bar(1.0)
THAN_ORIGINAL = Bar(60.0)
GROWTH = at_most(1.2)
TRANSITION = at_most(1.5)
IDLE_LATENCY = at_most(1.5)
IDLE_CPU = at_most(0.1, " %")
MEMORY = at_most(1536, " B")
IMPORT_TIME = at_most(1.3)
FOREIGN_MODULES = at_most(0)

OF_RAW_SQLITE = Bar(0.6)
OF_RAW_BULK = Bar(0.3)
THAN_HUEY = Bar(10.0)
THAN_DBOS = Bar(50.0)
SETTLED_GROWTH = at_most(1.5)
RESIDENT = at_most(50, " MB")
STALL = at_most(5, " ms")
RECOVERY = at_most(1, " s")
FIRST_BYTE = at_most(100, " ms")
LOOKED_AT = at_most(1.05)

OF_RAW_POSTGRES = Bar(0.7, floor=0.5)
THAN_PGQUEUER = Bar(2.0, floor=1.3)
THAN_PROCRASTINATE = Bar(25.0, floor=15.0)
THAN_ON_REDIS = Bar(5.0, floor=3.0)
TWO_WORKERS = Bar(1.15)
MORE_WORKERS = Bar(0.9)
HISTORY_GROWTH = at_most(1.3)
WAKE_UP = at_most(1.5)
STARTS_IN_A_WINDOW = at_most(200)
LIMIT_USED = Bar(95.0, unit=" %")
