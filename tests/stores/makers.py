"""The stores that are asked the same questions, and a clock that tests move by hand.

A new store joins the contract's tests and both simulations by one line in ``STORES``.
"""

from collections.abc import Callable
from typing import TypeAlias

from lionpride.model.work import Work
from lionpride.stores.contract import Store
from lionpride.stores.memory import MemoryStore

Make: TypeAlias = Callable[[Callable[[], float]], Store]
"""Makes an empty store that asks this clock for the time."""

STORES: dict[str, Make] = {
    "memory": lambda clock: MemoryStore("questions", clock=clock),
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
