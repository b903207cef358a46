"""N events that wait in PostgreSQL, run by one worker process, by two, by four and by eight."""

from __future__ import annotations

from functools import partial

from benchmarks import bars
from benchmarks.filled import Setting
from benchmarks.fleet import one, ours, together
from benchmarks.isolate import Figures
from benchmarks.postgres import by, faster
from benchmarks.postgres_stage import Stage
from benchmarks.rounds import Answers, Ask, alternate
from benchmarks.table import Row, Section, absent, figure, held

N = 100_000
MOST_ROUNDS = 5
CROWDS = (1, 2, 4, 8)
OURS = "(i) ours"
RAW = "(j) raw asyncpg"
MODULES = {OURS: "postgres_ours", RAW: "postgres_raw"}


def ask(stage: Stage, module: str, workers: int) -> Figures:
    with stage.database() as url:
        one(ours(module, way="make", url=url, n=0))
        fill = ours(module, way="fill", url=url, n=N)
        worker = ours(module, way="drain", url=url, n=N)
        return together([worker] * workers, N, stage.postmaster, fill)


def report(setting: Setting, stage: Stage) -> Section:
    section = Section(
        "workers",
        "WORKERS: ns an event of those that wait in PostgreSQL, claimed and completed; and what "
        "of two processors it took",
        notes=[
            stage.memory,
            "server and workers share the cores: see what each of them used for an event.",
        ],
    )
    questions: dict[str, Ask] = {
        label + by(workers): partial(ask, stage, module, workers)
        for label, module in MODULES.items()
        for workers in CROWDS
    }
    answers = alternate("workers", questions, min(setting.rounds, MOST_ROUNDS))
    for label in questions:
        section.rows += figures(answers, label)
    section.rows += comparisons(answers)
    return section


def figures(answers: Answers, label: str) -> list[Row]:
    if label not in answers:
        return [absent(label, answers.failures[label], N)]
    rows = [figure(label, answers.samples(label, "ns"), "ns", N)]
    for who in ("worker", "server"):
        used = answers.samples(label, f"{who}_us")
        rows.append(figure(f"    used by the {who}{'s' if who == 'worker' else ''}", used, "µs"))
    return rows


def comparisons(answers: Answers) -> list[Row]:
    wanted = [(2, 1, bars.TWO_WORKERS), (4, 2, bars.MORE_WORKERS), (8, 2, bars.MORE_WORKERS)]
    rows = []
    for many, few, bar in wanted:
        this, that = OURS + by(many), OURS + by(few)
        if this in answers and that in answers:
            ratio = faster(answers, this, answers, that)
            rows.append(held(f"    {many} workers, of the speed of {few}", ratio, bar, N))
    return rows
