"""What the tests of limits share: an event that says what it costs, and limits to hold it to."""

from collections.abc import Mapping

from lionpride.model.event_data import EventData
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.limits.meter import Meter

__all__ = ("Bench", "Call", "bench")


class Call(EventData):
    tokens: float = 0
    tenant: str | None = None

    @property
    def costs(self) -> Mapping[str, float]:
        return {"requests": 1, "tokens": self.tokens}

    @property
    def key(self) -> str | None:
        return self.tenant


class Bench:
    """A source of meters whose time is moved by hand."""

    def __init__(self, *limits: Limit) -> None:
        self.limits = Limits(limits)
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def meter(self, event: EventData) -> Meter:
        meter = event.__dict__["_meter"] = Meter(self, *self.limits.asked(event), None)
        meter.hold()
        return meter

    def used(self, name: str, key: str | None = None) -> float:
        return self.limits[name].account(key).used(self.now)


def bench() -> Bench:
    limits = Limit("requests", 5, per=10), Limit("tokens", 100, per=60), Limit("slots", 3)
    return Bench(*limits, Limit("host", 2, per_key=True))
