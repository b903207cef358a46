"""How much dearer an event becomes by a million settled ones in its file."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from benchmarks import bars, disk
from benchmarks.filled import Setting
from benchmarks.isolate import Figures, MeasurementError
from benchmarks.rounds import Ask, alternate
from benchmarks.table import Section, absent, figure, held

N = 50_000
MOST_ROUNDS = 3
EMPTY = "(e) ours, in a new file"
FILLED = "(e) ours, beside the settled"


# --- the measured side ----------------------------------------------------------------


def child(n: int, folder: str, settled: int, source: str | None = None) -> Figures:
    from benchmarks.candidates import shuffled_priorities
    from benchmarks.ours_on_disk import WARM_UP, appenders, url

    if source is not None:
        disk.copy_database(source, str(Path(folder, "measured.db")))
    asyncio.run(appenders(url(folder, "warm-up"), shuffled_priorities(WARM_UP)))
    before = settled if source is not None else 0
    took = asyncio.run(appenders(url(folder, "measured"), shuffled_priorities(n), before))
    return {"ns": took / n}


# --- the asking side ------------------------------------------------------------------


def report(setting: Setting) -> Section:
    section = Section(
        "settled", f"SETTLED: ns an event, with and without {setting.settled:,} settled ones"
    )
    try:
        source = setting.database
    except MeasurementError as error:
        section.rows.append(absent(FILLED, str(error), N))
        return section
    ask = partial(disk.ask, setting.folder, "settled", n=N, settled=setting.settled)
    questions: dict[str, Ask] = {EMPTY: ask, FILLED: partial(ask, source=source)}
    answers = alternate("settled", questions, min(setting.rounds, MOST_ROUNDS))
    for label in questions:
        if label in answers:
            section.rows.append(figure(label, answers.samples(label, "ns"), "ns", N))
        else:
            section.rows.append(absent(label, answers.failures[label], N))
    if EMPTY in answers and FILLED in answers:
        growth = answers.samples(FILLED, "ns").least / answers.samples(EMPTY, "ns").least
        section.rows.append(
            held("    beside them, over a new file", growth, bars.SETTLED_GROWTH, N)
        )
    return section
