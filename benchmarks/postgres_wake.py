"""From an append in one process to the start in another, whose worker had nothing to do.

Beside a bare LISTEN: the one process inserts and notifies in a statement, the other claims when
it hears of it, and no more.
"""

from __future__ import annotations

import asyncio
import statistics
from functools import partial
from time import perf_counter_ns
from typing import Any

from benchmarks import bars
from benchmarks.filled import Setting
from benchmarks.fleet import Members, one, ours
from benchmarks.gate import Gate
from benchmarks.isolate import Figures
from benchmarks.postgres_stage import Stage
from benchmarks.rounds import alternate
from benchmarks.table import Section, absent, figure, held

SAMPLES = 300
WARM_UP = 30
REST = 0.01
"""Seconds between two samples: the worker is idle by then, whatever it does after an event."""
MOST_ROUNDS = 5
OURS = "(i) append to _invoke's first line"
BARE = "(j) bare LISTEN, insert and notify to claimed"
MODULES = {OURS: "ours", BARE: "bare"}
CHANNEL = "woken"


# --- the measured side ----------------------------------------------------------------


def child(who: str, url: str) -> None:
    """`ours` and `bare` are workers, `…_producer` those who wake them."""
    asyncio.run(globals()[who](url))


async def pace(send: Any) -> list[int]:
    sent = []
    for number in range(WARM_UP + SAMPLES):
        await asyncio.sleep(REST)
        sent.append(perf_counter_ns())
        await send(number)
    return sent


async def ours_producer(url: str) -> None:
    from benchmarks.ours import Numbered, make_executor

    gate = Gate()
    executor = make_executor(store=url)
    await executor.store.counts()
    await asyncio.to_thread(gate.wait)
    sent = await pace(lambda number: executor.append(Numbered(number=number)))
    await asyncio.to_thread(gate.finish, stamps=sent)


async def ours_worker(url: str) -> None:
    from benchmarks.ours import Numbered, make_executor

    stamps = [0] * (WARM_UP + SAMPLES)
    all_of_them = asyncio.Event()

    async def stamp(self: Numbered) -> None:
        stamps[self.number] = perf_counter_ns()
        if all(stamps):
            all_of_them.set()

    Numbered._invoke = stamp  # the class is the one that the other process names
    gate = Gate()
    async with make_executor(store=url):
        await asyncio.to_thread(gate.wait)
        await all_of_them.wait()
        await asyncio.to_thread(gate.finish, stamps=stamps)


async def bare_producer(url: str) -> None:
    import asyncpg

    from benchmarks.postgres_raw import INSERT, PINNED, batches

    made = batches(WARM_UP + SAMPLES)
    events = [[[each] for each in one] for some in made for one in zip(*some, strict=True)]
    connection = await asyncpg.connect(url, server_settings=PINNED)
    insert = await connection.prepare(f"{INSERT} RETURNING pg_notify('{CHANNEL}', '')")
    gate = Gate()
    await asyncio.to_thread(gate.wait)
    sent = await pace(lambda number: insert.fetch(*events[number]))
    await asyncio.to_thread(gate.finish, stamps=sent)


async def bare_worker(url: str) -> None:
    import asyncpg

    from benchmarks.postgres_raw import BATCH, CLAIM, LEASE, PINNED

    listening = await asyncpg.connect(url)
    connection = await asyncpg.connect(url, server_settings=PINNED)
    claim = await connection.prepare(CLAIM)
    woken = asyncio.Event()
    await listening.add_listener(CHANNEL, lambda *_: woken.set())
    stamps: list[int] = []
    gate = Gate()
    await asyncio.to_thread(gate.wait)
    while len(stamps) < WARM_UP + SAMPLES:
        await woken.wait()
        woken.clear()
        claimed = await claim.fetch(BATCH, 1, LEASE)
        stamps += [perf_counter_ns()] * len(claimed)
    await asyncio.to_thread(gate.finish, stamps=stamps)


# --- the asking side ------------------------------------------------------------------


def ask(stage: Stage, who: str) -> Figures:
    fill = {"ours": "postgres_ours", "bare": "postgres_raw"}[who]
    with stage.database() as url:
        one(ours(fill, way="make", url=url, n=0))
        commands = [ours("postgres_wake", who=f"{who}_{part}", url=url) for part in PARTS]
        with Members(commands) as members:
            members.all_ready()
            members.begin()
            sent, started = (end["stamps"] for end in members.all_finished())
            members.release()
    took = [(start - send) / 1e6 for send, start in zip(sent, started, strict=True)][WARM_UP:]
    cuts = statistics.quantiles(took, n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


PARTS = ("producer", "worker")


def report(setting: Setting, stage: Stage) -> Section:
    section = Section(
        "wake", f"WAKE: ms from an append to the start in another process, {SAMPLES} times"
    )
    questions = {label: partial(ask, stage, who) for label, who in MODULES.items()}
    answers = alternate("wake", questions, min(setting.rounds, MOST_ROUNDS))
    for label in questions:
        if label not in answers:
            section.rows.append(absent(label, answers.failures[label]))
            continue
        for cut in ("p50", "p99"):
            section.rows.append(figure(f"{label}, {cut}", answers.samples(label, cut), "ms"))
    if OURS in answers and BARE in answers:
        ratio = answers.samples(OURS, "p50").median / answers.samples(BARE, "p50").median
        section.rows.append(held("    p50 over the bare", ratio, bars.WAKE_UP))
    return section
