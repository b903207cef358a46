"""A worker process: an executor over the file, from its start to its death."""

import asyncio
import os
import signal

from crash import mutants, on_postgres, points_on_sqlite
from crash.deeds import QUEUE, Deed, Doer
from crash.journal import Journal
from crash.points import Fuse, Reached, watch_answers
from pydantic import BaseModel, ConfigDict

LONGEST = 120
"""Seconds after which the kernel ends a worker that everybody has forgotten."""


class Orders(BaseModel):
    """What a worker is to do.

    Attributes:
        url, journal: The file, and where it is written what happens.
        point, nth: Where it kills itself; None: nowhere.
        concurrency: How many deeds it does at once.
        batches: How many deeds it appends, batch after batch.
        pause: What each of these deeds sleeps.
        observe: Whether it journals the completions that it is told of.
        mutant: What is spoilt in it on purpose.
    """

    model_config = ConfigDict(extra="forbid")

    url: str
    journal: str
    point: str | None = None
    nth: int = 1
    concurrency: int = 8
    batches: list[int] = []
    pause: float = 0.0
    observe: bool = True
    mutant: str | None = None


def work(orders: Orders) -> None:
    """The life of the process."""
    signal.alarm(LONGEST)
    journal = Journal(orders.journal)
    Deed.journal = journal
    fuse = Fuse(orders.point, orders.nth, journal) if orders.point else _pass
    Deed.reached = fuse
    if orders.point and orders.url.startswith("postgresql:"):
        on_postgres.watch(fuse)
    elif orders.point:
        points_on_sqlite.watch(fuse, orders.point)
    if orders.mutant:
        mutants.MUTANTS[orders.mutant]()
    asyncio.run(_run(orders, journal, fuse))


def _pass(point: str) -> None:
    """Come to a point, and go on."""


async def _run(orders: Orders, journal: Journal, fuse: Reached) -> None:
    enough = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, enough.set)
    journal.write("up")
    config = {"concurrency_limit": orders.concurrency}
    executor = Doer(config, store=orders.url, queue=QUEUE, grace=5.0)
    if orders.observe:
        watch_answers(executor, journal, fuse)
    await executor.store.counts()
    async with executor:
        for number, size in enumerate(orders.batches):
            await _append(executor, journal, size, orders.pause, label=os.getpid() * 100 + number)
        await enough.wait()


async def _append(executor: Doer, journal: Journal, size: int, pause: float, label: int) -> None:
    """Append a batch; each second one event by event, at once."""
    deeds = [Deed(label=label, pause=pause, slips=n % 3) for n in range(size)]
    if label % 2:
        await asyncio.gather(*map(executor.append, deeds))
    else:
        await executor.append_many(deeds)
    for deed in deeds:
        journal.write("appended", deed.id)
    await asyncio.sleep(0.01)
