"""How much dearer an event becomes between ten thousand and a million of them.

The collector and the caches make even bare asyncio grow, so ours is held against (a)'s own.
"""

from __future__ import annotations

from benchmarks import bars, throughput
from benchmarks.table import Row, Section, held
from benchmarks.throughput import MILLION, Result

SMALL = 10_000
SIZES = (SMALL, MILLION)
COMPARED = (throughput.OURS, throughput.OURS_PREMADE)
CONTESTANTS = [c for c in throughput.CONTESTANTS if c.label in (throughput.BARE, *COMPARED)]


def report(result: Result) -> Section:
    section = Section(
        "growth", "GROWTH: time an event at 1,000,000 over that at 10,000, minimum against minimum"
    )
    if not all(n in result and throughput.BARE in result[n] for n in SIZES):
        section.notes.append("not measured: it needs both sizes")
        return section
    bare = growth(result, throughput.BARE)
    section.rows.append(Row(throughput.BARE, MILLION, ratio=bare))
    for label in COMPARED:
        if all(label in result[n] for n in SIZES):
            ours = growth(result, label)
            section.rows.append(Row(label, MILLION, ratio=ours))
            section.rows.append(held("    over (a)'s own", ours / bare, bars.GROWTH, MILLION))
    return section


def growth(result: Result, label: str) -> float:
    small, large = (result[n].samples(label, "ns").least for n in SIZES)
    return large / small
