"""From opening a large file that a process left behind to the first line of user code.

The file has a million settled events and a hundred thousand waiting. It is copied while the
process that wrote it has it open, log and all, as if that one had been killed.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from time import perf_counter_ns

from benchmarks import bars, disk
from benchmarks.filled import Setting
from benchmarks.isolate import Figures, MeasurementError
from benchmarks.rounds import alternate
from benchmarks.table import Section, absent, figure

WAITING = 100_000
MOST_ROUNDS = 3
NAME = "left"
OURS = "(e) ours, from opening to _invoke's first line"


# --- the measured side ----------------------------------------------------------------


def child(folder: str, source: str, waiting: int, total: int) -> Figures:
    """`waiting` is given for the preparation: so many are appended to a copy and left there."""
    if waiting:
        asyncio.run(leave_behind(folder, source, waiting))
        return {}
    disk.copy_database(source, str(Path(folder, f"{NAME}.db")))
    return {"s": asyncio.run(recover(folder, total)) / 1e9}


async def leave_behind(folder: str, source: str, waiting: int) -> None:
    from benchmarks.candidates import shuffled_priorities
    from benchmarks.ours import NoOp, make_executor
    from benchmarks.ours_on_disk import BATCH, url

    written = Path(folder, "written.db")
    disk.copy_database(source, str(written))
    executor = make_executor(store=url(folder, "written"))
    priorities = shuffled_priorities(waiting)
    for start in range(0, waiting, BATCH):
        some = priorities[start : start + BATCH]
        await executor.append_many([NoOp() for _ in some], some)
    disk.copy_database(str(written), str(Path(folder, f"{NAME}.db")))
    await executor.store.close()


async def recover(folder: str, total: int) -> int:
    from benchmarks.ours import NoOp, make_executor
    from benchmarks.ours_on_disk import url

    reached: list[int] = []
    first = asyncio.Event()

    async def invoke(_: NoOp) -> None:
        if not reached:
            reached.append(perf_counter_ns())
            first.set()

    NoOp._invoke = invoke  # type: ignore[method-assign]
    began = perf_counter_ns()
    async with make_executor(store=url(folder, NAME)) as executor:
        await first.wait()
        await executor.stop()
        found = sum((await executor.store.counts()).values())
    if found != total:
        raise RuntimeError(f"{found} of {total} events were found: the measurement is void")
    return reached[0] - began


# --- the asking side ------------------------------------------------------------------


def report(setting: Setting) -> Section:
    section = Section(
        "recovery",
        f"RECOVERY: s to the first of {WAITING:,} waiting beside {setting.settled:,} settled",
    )
    with disk.folder_in(setting.folder) as own:
        total = setting.settled + WAITING
        try:
            prepare = {"folder": own, "source": setting.database, "waiting": WAITING}
            disk.measure("recovery", {**prepare, "total": total})
        except MeasurementError as error:
            section.rows.append(absent(OURS, str(error), total))
            return section
        source = str(Path(own, f"{NAME}.db"))
        ask = partial(disk.ask, setting.folder, "recovery", source=source, waiting=0, total=total)
        answers = alternate("recovery", {OURS: ask}, min(setting.rounds, MOST_ROUNDS))
    if OURS not in answers:
        section.rows.append(absent(OURS, answers.failures[OURS], total))
        return section
    samples = answers.samples(OURS, "s")
    row = figure(OURS, samples, "s", total)
    row.bar, row.verdict = str(bars.RECOVERY), bars.RECOVERY.verdict(samples.median)
    section.rows.append(row)
    return section
