"""An executor over each kind of store, with events to look at."""

from pathlib import Path
from time import time
from typing import Any

from stores.makers import QUEUE, postgres

from lionpride.core import Event, Executor, Processor, Skip


class Sum(Event):
    n: int = 0

    async def _invoke(self) -> Any:
        if self.n % 5 == 1:
            raise ValueError(f"number {self.n} is Odd 100%")
        if self.n % 7 == 2:
            raise Skip("enough")
        return self.n


class Product(Sum):
    pass


class Sums(Processor):
    event_type = Sum


class Desk(Executor):
    processor_type = Sums


KINDS = ("memory", "sqlite", "postgres")


def desk_over(kind: str, folder: Path) -> Desk:
    if kind == "postgres":
        return Desk(store=postgres(time), queue=QUEUE)
    return Desk(store=None if kind == "memory" else f"sqlite:///{folder / 'run.db'}")


async def filled(desk: Desk, number: int = 60) -> list[Sum]:
    """So many events, all but the last ten of them run."""
    events = [(Product if n % 3 == 0 else Sum)(n=n) for n in range(number)]
    await desk.append_many(events[:-10])
    async with desk:
        await desk.join()
    await desk.append_many(events[-10:])
    return events
