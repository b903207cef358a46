"""An executor over each kind of store, with finished and pending events."""

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


class SumExecutor(Executor):
    processor_type = Sums


KINDS = ("memory", "sqlite", "postgres")


def make_executor(kind: str, folder: Path) -> SumExecutor:
    if kind == "postgres":
        return SumExecutor(store=postgres(time), queue=QUEUE)
    return SumExecutor(store=None if kind == "memory" else f"sqlite:///{folder / 'run.db'}")


async def filled(executor: SumExecutor, number: int = 60) -> list[Sum]:
    """Append events, and run all of them but the last ten."""
    events = [(Product if n % 3 == 0 else Sum)(n=n) for n in range(number)]
    await executor.append_many(events[:-10])
    async with executor:
        await executor.join()
    await executor.append_many(events[-10:])
    return events
