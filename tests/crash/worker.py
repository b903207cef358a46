"""A worker process: an executor over the file, from its start to its death."""

import asyncio
import logging
import os
import signal
import threading
from contextlib import AsyncExitStack
from random import Random
from typing import Any

from crash import children, descriptors, mutants, on_postgres, points_on_sqlite
from crash.deeds import QUEUE, Deed, Doer, Hooks
from crash.dependents import draw_after, draw_kinds
from crash.facts import LEASE
from crash.journal import Journal
from crash.points import (
    CHECKED,
    NOTED,
    Fuse,
    Reached,
    watch_answers,
    watch_checks,
    watch_claims,
)
from pydantic import BaseModel, ConfigDict

from lionpride.errors import StoreError

LONGEST = 240
"""Seconds after which the kernel ends a worker that everybody has forgotten."""


class Orders(BaseModel):
    """What a worker is to do.

    Attributes:
        url, journal: The store, and where it is written what happens.
        lease: Seconds; the store's URL says the same.
        point, nth: Where it kills itself; None: nowhere.
        stop: Whether it stops itself there instead.
        executors: How many executors it has on the store.
        old: Whether it is of the release before.
        exhausted: Whether it gets no file descriptor while its executor starts.
        concurrency: How many deeds it does at once.
        batches: How many deeds it appends, batch after batch.
        urgent: Whether these run before all others.
        hold: For how long the last of them holds the interpreter.
        forks: How many children it forks, one after another.
        stream: Whether it then appends one deed after another until it is told to end.
        loses_file: Whether it has to end with an error, which is journaled and not printed.
        pause: What each of these deeds sleeps.
        observe: Whether it journals the completions that it is told of.
        mutant: What is spoilt in it on purpose.
    """

    model_config = ConfigDict(extra="forbid")

    url: str
    journal: str
    lease: float = LEASE
    point: str | None = None
    nth: int = 1
    stop: bool = False
    executors: int = 1
    old: bool = False
    exhausted: bool = False
    concurrency: int = 8
    batches: list[int] = []
    urgent: bool = False
    hold: float = 0.0
    forks: int = 0
    stream: bool = False
    loses_file: bool = False
    pause: float = 0.0
    observe: bool = True
    mutant: str | None = None


def work(orders: Orders) -> None:
    """The life of the process."""
    signal.alarm(LONGEST)
    logging.basicConfig(filename=f"{orders.journal}.log", format="%(process)d %(message)s")
    journal = Journal(orders.journal)
    Hooks.journal = journal
    number = signal.SIGSTOP if orders.stop else signal.SIGKILL
    fuse = Fuse(orders.point, orders.nth, journal, number) if orders.point else _pass
    Hooks.reached = fuse
    watch_checks(fuse)
    if orders.point == NOTED:
        watch_claims(fuse)
    elif orders.point in (None, CHECKED):
        pass  # `watch_checks` reports it
    elif orders.url.startswith("postgresql:"):
        on_postgres.watch(fuse)
    else:
        points_on_sqlite.watch(fuse, orders.point)
    if orders.mutant:
        mutants.MUTANTS[orders.mutant]()
    asyncio.run(_run(orders, journal, fuse))


def _pass(point: str) -> None:
    """Come to a point, and go on."""


async def _run(orders: Orders, journal: Journal, fuse: Reached) -> None:
    enough = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, enough.set)
    journal.write("up", extra=f"{orders.lease:g}")
    make, deed = _release(orders, journal)
    config = {"concurrency_limit": orders.concurrency}
    executors = [
        make(config, store=orders.url, queue=QUEUE, grace=5.0) for _ in range(orders.executors)
    ]
    for executor in executors:
        if orders.observe:
            watch_answers(executor, journal, fuse)
        await executor.store.counts()
    if orders.executors > 1:
        journal.write("two")
    forking = asyncio.create_task(children.fork_some(orders.url, orders.forks, journal))
    if orders.exhausted:
        journal.write("exhausted")
        threading.Timer(descriptors.SECONDS, descriptors.exhaust()).start()
    try:
        async with AsyncExitStack() as stack:
            for executor in executors:
                await stack.enter_async_context(executor)
            await _append_all(orders, executors, deed, journal, enough)
            await enough.wait()
    except StoreError as error:
        forking.cancel()
        journal.write("error", extra="_".join(str(error).split()))
        if orders.loses_file:
            raise SystemExit(1) from None
        raise


def _release(orders: Orders, journal: Journal) -> tuple[type[Any], type[Any]]:
    """Return the executor class and the event class of the worker's release."""
    if not orders.old:
        return Doer, Deed
    from crash import old_release  # late: it replaces the newer class in this process

    journal.write("old")
    return old_release.Doer, old_release.Deed


async def _append_all(
    orders: Orders, executors: list[Doer], deed: type[Any], journal: Journal, enough: asyncio.Event
) -> None:
    """Append the batches in turn over all executors."""
    for number, size in enumerate(orders.batches):
        label, executor = os.getpid() * 100 + number, executors[number % len(executors)]
        rng = Random(label)
        kinds = [draw_kinds(rng) if deed is Deed else {} for _ in range(size)]
        deeds = [
            deed(label=label, pause=orders.pause, slips=n % 3, **kind)
            for n, kind in enumerate(kinds)
        ]
        if orders.hold and deed is Deed:
            deeds.append(Deed(label=label, hold=orders.hold))
        try:
            if orders.urgent:
                await executor.append_many(deeds, [0.0] * len(deeds))
                _note(journal, deeds)
            else:
                await _append(executor, journal, deeds, at_once=bool(label % 2), rng=rng)
        except StoreError:
            if not orders.exhausted:
                raise
    number = 0
    while orders.stream and not enough.is_set():
        number += 1
        executor = executors[number % len(executors)]
        await _append(executor, journal, [deed(label=number)], at_once=True)


async def _append(
    executor: Doer,
    journal: Journal,
    deeds: list[Any],
    *,
    at_once: bool,
    rng: Random | None = None,
) -> None:
    """Append a batch, event by event at once or in one call, and with parents if they are drawn."""
    if at_once:
        await asyncio.gather(*map(executor.append, deeds))
    elif rng is None:
        await executor.append_many(deeds)
    else:
        after, when = draw_after(rng, deeds)
        await executor.append_many(deeds, after=after, when=when)
    _note(journal, deeds)
    await asyncio.sleep(0.01)


def _note(journal: Journal, deeds: list[Any]) -> None:
    """Journal that an append has returned."""
    for deed in deeds:
        journal.write("appended", deed.id)
