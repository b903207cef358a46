"""Growth on SQLite: the memory of the process over a long run, and the speed afterwards.

A hundred callers run a million events through one file. Then the time for an event is measured in a
copy of this file and in a new file.
"""

from __future__ import annotations

import asyncio
import gc
import random
from functools import partial
from pathlib import Path

from benchmarks import bars, disk
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import Ask, alternate, progress
from benchmarks.run import Run
from benchmarks.table import Row, Section, absent, figure, held, speed
from benchmarks.workload import WARM_UP, expect_all_completed, shuffled_priorities

N = 50_000
SEED = 7
INTERVAL = 0.05
"""Seconds between two samples of the memory."""
MEGABYTE = 1_000_000
NEW = "lionpride, in a new file"
FULL = "lionpride, in the full file"


def child(way: str, n: int, folder: str, finished: int = 0, source: str | None = None) -> Figures:
    """Measure: ``fill`` fills a file, and ``run`` runs n events, in a copy of a file if given."""
    if way == "fill":
        return asyncio.run(fill(n, folder))
    return run_beside(n, folder, finished, source)


async def fill(n: int, folder: str) -> Figures:
    """Run n events, and return by how many bytes the process grew: at most, and at the end."""
    from benchmarks.events import make_executor
    from benchmarks.sqlite_ours import append_each, completed, url

    chance = random.Random(SEED)
    async with make_executor(store=url(folder, "filled")) as executor:
        await append_each(executor, (chance.random() for _ in range(WARM_UP)))
        await executor.join()
        gc.collect()
        before = resident()
        watch = asyncio.create_task(highest_resident())
        await append_each(executor, (chance.random() for _ in range(n - WARM_UP)))
        await executor.join()
        after = resident()
        watch.cancel()
        most = max(after, await watch)
        count = await completed(executor)
    expect_all_completed(count, n)
    return {"most": most - before, "end": after - before}


async def highest_resident() -> int:
    """Return the highest memory of the process until the task is cancelled."""
    most = 0
    try:
        while True:
            most = max(most, resident())
            await asyncio.sleep(INTERVAL)
    except asyncio.CancelledError:
        return most


def resident() -> int:
    """Return the resident size of this process in bytes."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def run_beside(n: int, folder: str, finished: int, source: str | None) -> Figures:
    from benchmarks.sqlite_ours import run, url

    if source is not None:
        disk.copy_database(source, str(Path(folder, "measured.db")))
    asyncio.run(run(url(folder, "warm-up"), shuffled_priorities(min(n, WARM_UP))))
    before = finished if source is not None else 0
    took = asyncio.run(run(url(folder, "measured"), shuffled_priorities(n), before=before))
    return {"ns": took / n}


def report(run: Run) -> Section:
    section = Section(
        "growth_sqlite",
        f"GROWTH ON SQLITE: with {run.finished:,} finished events in the file",
        notes=["the memory also has the priorities and events of the callers."],
    )
    n = min(N, run.finished)
    progress(f"a file of {run.finished:,} finished events")
    parameters = {"way": "fill", "n": run.finished, "folder": str(run.folder)}
    grown = measure("growth_sqlite", parameters)
    most, end = (grown[key] / MEGABYTE for key in ("most", "end"))
    row = Row("memory of the process, at most", run.finished, most, most, "MB")
    row.bar, row.verdict = str(bars.RESIDENT), bars.RESIDENT.verdict(most)
    section.rows += [row, Row("memory of the process, at the end", run.finished, end, end, "MB")]
    ask = partial(disk.ask, run.folder, "growth_sqlite", way="run", n=n, finished=run.finished)
    source = str(run.folder / "filled.db")
    questions: dict[str, Ask] = {NEW: ask, FULL: partial(ask, source=source)}
    answers = alternate("growth on SQLite", questions, min(run.rounds, 3))
    for label in questions:
        if label in answers:
            section.rows.append(figure(label, answers.samples(label, "ns"), "ns", n))
        else:
            section.rows.append(absent(label, answers.failures[label], n))
    if NEW in answers and FULL in answers:
        ratio = speed(answers, NEW, FULL)
        section.rows.append(held("    full file, over a new one", ratio, bars.SQLITE_GROWTH, n))
    return section
