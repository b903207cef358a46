"""The faults of a campaign beside the kills: its seed chooses them, and names switch them off.

Each fault draws from a random generator of its own, so that a campaign without one of them differs
in that one alone.
"""

from collections.abc import Collection
from random import Random
from typing import NamedTuple


class Fault(NamedTuple):
    """One kind of fault: what happens, and on which stores it can."""

    says: str
    stores: tuple[str, ...] = ("sqlite", "postgres")


FAULTS = {
    "cancels": Fault("events are cancelled while they run, fail into a retry, or wait"),
    "executors": Fault(
        "each process opens the store twice; a foreign program opens the SQLite file, reads, closes"
    ),
    "clock": Fault("the wall clock of the workers jumps forward and back"),
    "stops": Fault(
        "workers are stopped after a claim, before a start and at random, also past their lease"
    ),
    "descriptors": Fault("a worker gets no file descriptor for half a second"),
    "release": Fault("some workers are of the release before, which lacks a field of the event"),
    "alone": Fault("the only worker is stopped, or holds the interpreter, for two leases"),
    "forks": Fault("workers fork children, which live on when they are killed", ("sqlite",)),
    "signals": Fault("workers get SIGINT several times, also in a commit", ("sqlite",)),
    "cuts": Fault(
        "connections are cut while the server takes its time for some commits", ("postgres",)
    ),
    "crashes": Fault("the server crashes, and starts again", ("postgres",)),
    "publication": Fault("all tables of the database are published", ("postgres",)),
    "settings": Fault(
        "the role of the workers has hostile settings, which half of them meet as behind a pooler",
        ("postgres",),
    ),
    "removal": Fault("the SQLite file is removed, renamed, replaced or cut", ("sqlite",)),
}
"""By name."""


def faults_of(store: str, without: Collection[str] = ()) -> frozenset[str]:
    """Return the names of the faults that a store can have, but for some."""
    every = {name for name, fault in FAULTS.items() if store in fault.stores}
    return frozenset(every - set(without))


def choose(seed: int, possible: Collection[str]) -> frozenset[str]:
    """Choose the faults of one campaign by its seed: each is in every other campaign."""
    return frozenset(name for name in possible if Random(f"{seed} {name}").random() < 0.5)
