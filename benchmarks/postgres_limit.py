"""A limit of the whole fleet under more work than it lets through, by the database's own clock."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from typing import Any

from benchmarks import bars
from benchmarks.filled import Setting
from benchmarks.fleet import Members, one, ours
from benchmarks.gate import Gate
from benchmarks.isolate import Figures, MeasurementError
from benchmarks.postgres_stage import Stage, ask_for, tell
from benchmarks.rounds import progress
from benchmarks.table import Row, Section, absent

STARTS = 200
"""How many may start in any second, over all workers."""
WORKERS = 4
SECONDS = 20.0
WAYS = {"named": "(i) ours, a named Limit", "capacity": "(i) ours, the fleet's queue_capacity"}
SETTLE = 2.0
"""Seconds at the beginning that are not counted as used: the workers connect."""
WAITING = 10_000
LEASE = "lionpride.lease"
"""The table to which each claim of our store adds a row."""

WATCH = """
CREATE TABLE public.start (at double precision NOT NULL);
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.start
    SELECT extract(epoch FROM clock_timestamp()) FROM claimed;
    RETURN NULL;
END $$;
"""
TRIGGER = """
CREATE TRIGGER noted AFTER INSERT ON {lease} REFERENCING NEW TABLE AS claimed
FOR EACH STATEMENT EXECUTE FUNCTION public.note();
"""


# --- the measured side ----------------------------------------------------------------


def child(url: str, way: str) -> None:
    asyncio.run(worker(url, way))


async def worker(url: str, way: str) -> None:
    """Runs what the limit lets through, until the time is over."""
    from benchmarks.ours import make_executor
    from lionpride.core import Limit

    ways: dict[str, dict[str, Any]] = {
        "named": {"limits": [Limit("requests", STARTS, per=1.0)]},
        "capacity": {"queue_capacity": STARTS, "capacity_refresh_time": 1.0, "scope": "fleet"},
    }
    gate = Gate()
    executor = make_executor(store=url, **ways[way])
    await executor.store.counts()
    await asyncio.to_thread(gate.wait)
    async with executor:
        await asyncio.sleep(SECONDS)
        await executor.stop()
    await asyncio.to_thread(gate.finish)


# --- the asking side ------------------------------------------------------------------


def ask(stage: Stage, way: str) -> Figures:
    with stage.database() as url:
        one(ours("postgres_ours", way="fill", url=url, n=WAITING))
        tell(url, WATCH, TRIGGER.format(lease=LEASE))
        with Members([ours("postgres_limit", url=url, way=way)] * WORKERS) as members:
            members.all_ready()
            members.begin()
            members.all_finished()
            members.release()
        return judged([row[0] for row in ask_for(url, "SELECT at FROM public.start ORDER BY at")])


def judged(starts: list[float]) -> Figures:
    """The most starts in any second, and how much of the limit was used once all were at it."""
    most = max((bisect_right(starts, at) - after(starts, at - 1.0) for at in starts), default=0)
    first = starts[0] if starts else 0.0
    counted = [at for at in starts if first + SETTLE <= at < first + SECONDS - 1.0]
    return {"most": most, "used": 100.0 * len(counted) / (STARTS * (SECONDS - 1.0 - SETTLE))}


def after(starts: list[float], instant: float) -> int:
    return bisect_right(starts, instant)


def report(_setting: Setting, stage: Stage) -> Section:
    section = Section(
        "fleet",
        f"FLEET: {STARTS} starts in any second over {WORKERS} workers, {SECONDS:g} s of more work "
        "than that, by the database's clock",
    )
    for way, label in WAYS.items():
        progress(f"a limit of the fleet: {label}")
        try:
            section.rows += rows(label, ask(stage, way))
        except MeasurementError as error:
            section.rows.append(absent(label, str(error)))
    return section


def rows(label: str, figures: Figures) -> list[Row]:
    most = Row(f"{label}, most starts in a second", None, figures["most"], figures["most"])
    most.bar = str(bars.STARTS_IN_A_WINDOW)
    most.verdict = bars.STARTS_IN_A_WINDOW.verdict(figures["most"])
    used = Row(f"{label}, of it used", None, figures["used"], figures["used"], "%")
    used.bar, used.verdict = str(bars.LIMIT_USED), bars.LIMIT_USED.verdict(figures["used"])
    return [most, used]
