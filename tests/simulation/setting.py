"""What an executor of the simulation is set to."""

from dataclasses import dataclass
from random import Random

WEIGHTS = {
    "append": 10,
    "append_again": 1,
    "execute": 4,
    "forward": 6,
    "stop": 1,
    "start": 2,
    "interrupt": 2,
    "cancel": 4,
    "retry": 4,
    "again": 3,
    "remove": 2,
    "cleanup": 1,
    "wait_for": 3,
    "join": 1,
    "peek": 1,
    "move": 1,
    "sleep": 10,
}
"""What may be done to an executor, and how often."""


@dataclass(frozen=True)
class Setting:
    """What an office is made with.

    Attributes:
        slow: Whether permission may take time.
        watched: Whether the ledger observes the executor, too.
        verbs: Whether the store hides its immediate steps.
    """

    limit: int
    capacity: int | None
    span: float
    backoff: float
    asks: bool
    slow: bool
    watched: bool
    verbs: bool

    @classmethod
    def drawn(cls, rng: Random) -> "Setting":
        asks = rng.random() < 0.7
        return cls(
            limit=rng.choice((1, 2, 3, 5)),
            capacity=rng.choice((None, 1, 2, 3, 4)),
            span=rng.choice((0.1, 0.3, 0.7, 1.0, 2.5)),
            backoff=rng.choice((0.0, 0.1, 1.0, 3.0)),
            asks=asks,
            slow=asks and rng.random() < 0.4,
            watched=rng.random() < 0.5,
            verbs=rng.random() < 0.3,
        )
