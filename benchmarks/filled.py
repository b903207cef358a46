"""A million events through one file, and what the process grows by meanwhile.

The file, full of settled events, is what two more questions need; so it is made once. Its
events come by a hundred callers, with priorities at random.
"""

from __future__ import annotations

import asyncio
import gc
import random
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bars
from benchmarks.isolate import Figures, MeasurementError, measure
from benchmarks.memory import bytes_in_use
from benchmarks.rounds import progress
from benchmarks.table import Row, Section, absent

MILLION = 1_000_000
SEED = 7
GLANCE = 0.05
"""Seconds between two looks at the resident size."""
MEGABYTE = 1_000_000
OURS = "(e) ours, resident"


# --- the measured side ----------------------------------------------------------------


def child(n: int, store: str) -> Figures:
    """Run n events, and say by how many bytes the process grew: at its most, and in the end."""
    return asyncio.run(run_watched(n, store))


async def run_watched(n: int, store: str) -> Figures:
    from benchmarks.candidates import expect_all_completed
    from benchmarks.ours import make_executor
    from benchmarks.ours_on_disk import WARM_UP, append_each, on_record

    chance = random.Random(SEED)
    async with make_executor(store=store) as executor:
        await append_each(executor, (chance.random() for _ in range(WARM_UP)))
        await executor.join()
        gc.collect()
        before = bytes_in_use("rss")
        watch = asyncio.create_task(watch_resident())
        await append_each(executor, (chance.random() for _ in range(n - WARM_UP)))
        await executor.join()
        after = bytes_in_use("rss")
        watch.cancel()
        most = max(after, await watch)
        completed = await on_record(executor)
    expect_all_completed(completed, n)
    return {"most": most - before, "end": after - before}


async def watch_resident() -> int:
    """The most that the process took, until cancelled."""
    most = 0
    try:
        while True:
            most = max(most, bytes_in_use("rss"))
            await asyncio.sleep(GLANCE)
    except asyncio.CancelledError:
        return most


# --- the asking side ------------------------------------------------------------------


@dataclass
class Setting:
    """What the questions about files share: a folder, and in it the file of settled events."""

    folder: Path
    rounds: int
    settled: int = MILLION
    figures: Figures | None = None
    failure: str = ""

    @property
    def database(self) -> str:
        """The file; whoever changes it, changes a copy."""
        self.fill()
        return str(self.folder / "filled.db")

    def fill(self) -> Figures:
        """Make the file at the first call.

        Raises:
            MeasurementError: if it could not be made, now or before.
        """
        if self.failure:
            raise MeasurementError(self.failure)
        if self.figures is None:
            progress(f"a file of {self.settled:,} settled events")
            store = f"sqlite:///{self.folder / 'filled.db'}"
            try:
                self.figures = measure("filled", {"n": self.settled, "store": store})
            except MeasurementError as error:
                self.failure = str(error)
                raise
        return self.figures


def report(setting: Setting) -> Section:
    section = Section(
        "rss",
        "RSS: MB by which the process grows over a run, at its most and in the end",
        notes=["from 2,000 events on; the callers' own priorities and events are in it."],
    )
    try:
        figures = setting.fill()
    except MeasurementError as error:
        section.rows.append(absent(OURS, str(error), setting.settled))
        return section
    most, end = (figures[key] / MEGABYTE for key in ("most", "end"))
    row = Row(f"{OURS}, at its most", setting.settled, most, most, "MB")
    row.bar, row.verdict = str(bars.RESIDENT), bars.RESIDENT.verdict(most)
    section.rows += [row, Row(f"{OURS}, in the end", setting.settled, end, end, "MB")]
    return section
