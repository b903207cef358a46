"""The stores that are asked the same questions, and a clock that tests move by hand.

A new store joins the contract's tests and both simulations by one line in ``STORES``.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary, finalize

from stores.homes import Home

from lionpride.model.event_data import EventData
from lionpride.stores.contract import Store
from lionpride.stores.memory import MemoryStore
from lionpride.stores.postgres import PostgresStore
from lionpride.stores.sqlite import SqliteStore

Make: TypeAlias = Callable[[Callable[[], float]], Store]
"""Makes an empty store that asks this clock for the time."""

QUEUE = "questions"


MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where files cost no disk: a killed process leaves there what it would leave on one."""


class Folder:
    """A folder that goes when nobody has it any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="lionpride-", dir=MEMORY))
        finalize(self, shutil.rmtree, self.path, ignore_errors=True)


FOLDERS: "WeakKeyDictionary[Any, Folder]" = WeakKeyDictionary()
"""Where the stores' files are: a folder lives as long as any store on it."""


def sqlite(clock: Callable[[], float]) -> SqliteStore:
    """A store in a file of its own."""
    return sqlite_in(Folder(), clock)


def sqlite_in(folder: Folder, clock: Callable[[], float], **how: Any) -> SqliteStore:
    """One more store over the file in a folder.

    NORMAL, since a test cannot cut the power: what a killed process leaves is the same.
    """
    how = {"synchronous": "NORMAL", **how}
    store = SqliteStore(folder.path / "run.db", QUEUE, clock=clock, **how)
    FOLDERS[store] = folder
    return store


HOMES: "WeakKeyDictionary[Any, Home]" = WeakKeyDictionary()
"""The schemas of stores in PostgreSQL: one is used again when no store of it is left."""


def postgres(clock: Callable[[], float]) -> PostgresStore:
    """A store in a schema of its own."""
    return postgres_in(Home(), clock)


def postgres_in(home: Home, clock: Callable[[], float], **how: Any) -> PostgresStore:
    """One more store over the tables of a schema; it listens to nobody, which costs time.

    It is patient, so that a machine with much else to do has no statement asked for twice.
    """
    how = {"listen": False, "patience": 60.0, "connections": 1, **how}
    store = PostgresStore(home.url, QUEUE, schema=home.schema, clock=clock, **how)
    HOMES[store] = home
    return store


STORES: dict[str, Make] = {
    "memory": lambda clock: MemoryStore(QUEUE, clock=clock),
    "sqlite": sqlite,
    "postgres": postgres,
}


def beside(store: Store, clock: Callable[[], float], opened: list[Store]) -> Store:
    """Return a store over the same events, as another process has it; in memory the same store.

    Args:
        store: The store.
        clock: Its clock.
        opened: The stores that the test closes at its end.
    """
    other = store
    if store in FOLDERS:
        other = sqlite_in(FOLDERS[store], clock)
    elif store in HOMES:
        other = postgres_in(HOMES[store], clock)
    if other is not store:
        opened.append(other)
    return other


class Clock:
    """The time in seconds, which stands still until it is moved.

    Attributes:
        now: The time.
        tick: Seconds that pass before each reading: for what happens while a step takes time.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.tick = 0.0

    def __call__(self) -> float:
        self.now += self.tick
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Job(EventData):
    """What the stores of the tests keep."""

    label: str = ""
