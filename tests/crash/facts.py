"""What a store's tables say in the end, whatever kind of store it is: held against the journal."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from crash.dependents import Dependents

ENDS = ("completed", "failed", "cancelled", "skipped", "aborted")


LEASE = 10.0
"""Seconds: the lease of a worker that is not told another one."""

LATE = 0.05
"""Seconds: the audit reads its clock a little later than the worker did in the same transaction."""


class Finished(NamedTuple):
    """How an event ended; `kept` is how many attempts are kept of those that failed."""

    number: int
    status: str
    attempt: int
    tries: int
    denials: int
    interruptions: int
    kept: int


@dataclass
class Facts:
    """What the tables say, and what the audit has noted inside the workers' transactions.

    Attributes:
        numbers: Of each event, by its id.
        slips: How often each was to fail, by its number.
        finished: Those that ended.
        claims: The numbers and attempts of what was claimed, in that order.
        ends: How many endings of each were put on record.
        until: When the lease of an attempt would have lapsed by the clock of a server.
        renewed: When it was claimed or renewed last, by the clock of this machine, where the store
            has no clock of its own. All times are Unix time in seconds.
        ended: When the first ending of each was put on record, by number.
        dependents: What it says of parents, children and continuations.
        cancels: The attempt of each event whose cancel was answered while it was claimed.
        wrong: What is wrong with the tables themselves.
    """

    numbers: dict[str, int]
    slips: dict[int, int]
    finished: list[Finished]
    claims: list[tuple[int, int]]
    ends: Counter[int]
    until: dict[tuple[int, int], float] = field(default_factory=dict)
    renewed: dict[tuple[int, int], float] = field(default_factory=dict)
    ended: dict[int, float] = field(default_factory=dict)
    dependents: Dependents = field(default_factory=Dependents)
    cancels: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def lapse(self, number: int, attempt: int, lease: float) -> float:
        """Return when the lease of an attempt would have lapsed, which is so many seconds long."""
        at = number, attempt
        return self.until[at] if at in self.until else self.renewed[at] + lease - LATE

    def check_places(self, places: Iterable[int], events: Iterable[int]) -> None:
        """Each event is in one table that says where it stands, and in no more."""
        counted = Counter(places)
        if set(counted) != set(events) or any(n != 1 for n in counted.values()):
            self.wrong.append("an event is in no table, or in two")

    def check_gone(self, workers: list[object]) -> None:
        """Nobody is on the list of workers who is not at work."""
        if workers:
            self.wrong.append(f"workers are on the list that are gone: {workers}")

    def check_counts(self, queue: object, kept: list[int], counted: list[int]) -> None:
        """The counts that a store keeps are those of its tables."""
        if kept != counted:
            self.wrong.append(f"queue {queue} counts {kept}, the tables {counted}")
