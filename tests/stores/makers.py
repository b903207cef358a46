"""The stores that are asked the same questions, and a clock that tests move by hand.

A new store joins the contract's tests and both simulations by one line in ``STORES``.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias
from weakref import finalize

from lionpride.model.work import Work
from lionpride.stores.contract import Store
from lionpride.stores.memory import MemoryStore
from lionpride.stores.sqlite import SqliteStore

Make: TypeAlias = Callable[[Callable[[], float]], Store]
"""Makes an empty store that asks this clock for the time."""


def sqlite(clock: Callable[[], float]) -> SqliteStore:
    """A store in a file of its own, which goes with it."""
    folder = tempfile.TemporaryDirectory(prefix="lionpride-")
    store = SqliteStore(Path(folder.name) / "run.db", "questions", clock=clock)
    finalize(store, folder.cleanup)
    return store


STORES: dict[str, Make] = {
    "memory": lambda clock: MemoryStore("questions", clock=clock),
    "sqlite": sqlite,
}


class Clock:
    """The time in seconds, which stands still until it is moved."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Job(Work):
    """What the stores of the tests keep."""

    label: str = ""
