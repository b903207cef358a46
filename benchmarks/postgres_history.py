"""How much dearer an event becomes by a million finished ones in its tables."""

from __future__ import annotations

from functools import partial

from benchmarks import bars
from benchmarks.filled import Setting
from benchmarks.fleet import ours, together
from benchmarks.isolate import Figures, MeasurementError
from benchmarks.postgres import ask_own, faster
from benchmarks.postgres_stage import Stage
from benchmarks.rounds import alternate, progress
from benchmarks.table import Section, absent, figure, held

N = 50_000
MOST_ROUNDS = 3
EMPTY = "(i) ours, in new tables"
FILLED = "(i) ours, beside the finished"


def ask_there(stage: Stage, url: str) -> Figures:
    return together([member(url, N)], N, stage.postmaster)


def member(url: str, n: int) -> list[str]:
    return ours("postgres_ours", way="batches", url=url, n=n)


def report(setting: Setting, stage: Stage) -> Section:
    section = Section(
        "history",
        f"HISTORY: ns an event, with and without {setting.settled:,} finished ones in its tables",
    )
    with stage.database() as url:
        progress(f"a database of {setting.settled:,} finished events")
        try:
            together([member(url, setting.settled)], setting.settled)
        except MeasurementError as error:
            section.rows.append(absent(FILLED, str(error), N))
            return section
        empty = partial(ask_own, stage, "postgres_ours", "batches", N, 1)
        questions = {EMPTY: empty, FILLED: partial(ask_there, stage, url)}
        answers = alternate("history", questions, min(setting.rounds, MOST_ROUNDS))
    for label in questions:
        if label in answers:
            section.rows.append(figure(label, answers.samples(label, "ns"), "ns", N))
        else:
            section.rows.append(absent(label, answers.failures[label], N))
    if EMPTY in answers and FILLED in answers:
        growth = faster(answers, EMPTY, answers, FILLED)
        row = held("    beside them, over new tables", growth, bars.HISTORY_GROWTH, N)
        section.rows.append(row)
    return section
