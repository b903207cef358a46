"""Steps of events without an engine, for what observes them."""

import itertools

from lionpride.core import Event, EventStatus, Transition

PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED, ABORTED = (
    EventStatus(name)
    for name in ("pending", "processing", "completed", "failed", "cancelled", "aborted")
)


class Thing(Event):
    name: str = "thing"


class Steps:
    """Tells observers of steps, a second apart."""

    def __init__(self, *observers) -> None:
        self.observers = observers
        self.at = 0.0

    def __call__(self, event, *statuses) -> None:
        for before, after in itertools.pairwise(statuses):
            if after is not None:
                event.execution.status = after
            for observer in self.observers:
                observer(Transition(event, before, after, self.at, 1))
            self.at += 1
