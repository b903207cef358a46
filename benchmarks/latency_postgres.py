"""Latency on PostgreSQL: from an append in one process to the start in another, idle process.

For comparison, two processes with asyncpg alone: one inserts and notifies in a statement, the other
claims when it is notified.
"""

from __future__ import annotations

import asyncio
import statistics
from functools import partial
from time import perf_counter_ns
from typing import Any

from benchmarks import bars
from benchmarks.isolate import Figures
from benchmarks.postgres_server import BenchmarkServer
from benchmarks.processes import Members, one, ours
from benchmarks.rounds import Ask, alternate
from benchmarks.run import Run
from benchmarks.start_signal import StartSignal
from benchmarks.table import Section, absent, figure, held

SAMPLES = 300
WARM_UP = 30
REST = 0.01
"""Seconds between two samples, so that the worker is idle."""
OURS = "lionpride, append to first line"
BARE = "asyncpg and LISTEN, insert to claim"
MODULES = {OURS: "ours", BARE: "bare"}
CHANNEL = "woken"


def child(who: str, url: str) -> None:
    """Run a producer or a worker: the function of this name."""
    asyncio.run(globals()[who](url))


async def pace(send: Any) -> list[int]:
    sent = []
    for number in range(WARM_UP + SAMPLES):
        await asyncio.sleep(REST)
        sent.append(perf_counter_ns())
        await send(number)
    return sent


async def ours_producer(url: str) -> None:
    from benchmarks.events import make_executor, page

    signal = StartSignal()
    executor = make_executor(store=url)
    await executor.store.counts()
    await asyncio.to_thread(signal.wait)
    sent = await pace(lambda number: executor.append(page(number)))
    await asyncio.to_thread(signal.finish, stamps=sent)


async def ours_worker(url: str) -> None:
    from benchmarks.events import Page, make_executor

    stamps = [0] * (WARM_UP + SAMPLES)
    all_of_them = asyncio.Event()

    async def stamp(self: Page) -> None:
        stamps[self.depth] = perf_counter_ns()
        if all(stamps):
            all_of_them.set()

    Page._invoke = stamp  # both processes use this class
    signal = StartSignal()
    async with make_executor(store=url):
        await asyncio.to_thread(signal.wait)
        await all_of_them.wait()
        await asyncio.to_thread(signal.finish, stamps=stamps)


async def bare_producer(url: str) -> None:
    import asyncpg

    from benchmarks.postgres_raw import INSERT, PINNED, batches

    made = batches(WARM_UP + SAMPLES)
    events = [[[each] for each in one] for some in made for one in zip(*some, strict=True)]
    connection = await asyncpg.connect(url, server_settings=PINNED)
    insert = await connection.prepare(f"{INSERT} RETURNING pg_notify('{CHANNEL}', '')")
    signal = StartSignal()
    await asyncio.to_thread(signal.wait)
    sent = await pace(lambda number: insert.fetch(*events[number]))
    await asyncio.to_thread(signal.finish, stamps=sent)


async def bare_worker(url: str) -> None:
    import asyncpg

    from benchmarks.postgres_raw import BATCH, CLAIM, LEASE, PINNED

    listening = await asyncpg.connect(url)
    connection = await asyncpg.connect(url, server_settings=PINNED)
    claim = await connection.prepare(CLAIM)
    woken = asyncio.Event()
    await listening.add_listener(CHANNEL, lambda *_: woken.set())
    stamps: list[int] = []
    signal = StartSignal()
    await asyncio.to_thread(signal.wait)
    while len(stamps) < WARM_UP + SAMPLES:
        await woken.wait()
        woken.clear()
        claimed = await claim.fetch(BATCH, 1, LEASE)
        stamps += [perf_counter_ns()] * len(claimed)
    await asyncio.to_thread(signal.finish, stamps=stamps)


def ask(server: BenchmarkServer, who: str) -> Figures:
    tables = {"ours": "postgres_ours", "bare": "postgres_raw"}[who]
    with server.database() as url:
        one(ours(tables, way="make", url=url, n=0))
        parts = (f"{who}_producer", f"{who}_worker")
        commands = [ours("latency_postgres", who=part, url=url) for part in parts]
        with Members(commands) as members:
            members.all_ready()
            members.begin()
            sent, started = (end["stamps"] for end in members.all_finished())
            members.release()
    took = [(start - send) / 1e6 for send, start in zip(sent, started, strict=True)][WARM_UP:]
    cuts = statistics.quantiles(took, n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


def report(run: Run) -> Section:
    section = Section(
        "latency_postgres",
        f"LATENCY ON POSTGRESQL: ms from an append to the start elsewhere, {SAMPLES} times",
    )
    questions: dict[str, Ask] = {
        label: partial(ask, run.server, who) for label, who in MODULES.items()
    }
    answers = alternate("latency on PostgreSQL", questions, run.rounds)
    for label in questions:
        if label not in answers:
            section.rows.append(absent(label, answers.failures[label]))
            continue
        for cut in ("p50", "p99"):
            section.rows.append(figure(f"{label}, {cut}", answers.samples(label, cut), "ms"))
    if OURS in answers and BARE in answers:
        ratio = answers.samples(OURS, "p50").median / answers.samples(BARE, "p50").median
        section.rows.append(held("    p50, over asyncpg's", ratio, bars.LATENCY_OF_LISTEN))
    return section
