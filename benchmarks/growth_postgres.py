"""Growth on PostgreSQL: the time for an event with a million finished ones in its tables."""

from __future__ import annotations

from functools import partial

from benchmarks import bars
from benchmarks.isolate import Figures
from benchmarks.postgres import ask_own, faster
from benchmarks.postgres_server import BenchmarkServer
from benchmarks.processes import ours, together
from benchmarks.rounds import Ask, alternate, progress
from benchmarks.run import Run
from benchmarks.table import Section, absent, figure, held

N = 50_000
NEW = "lionpride, in new tables"
FULL = "lionpride, in the full tables"


def worker(url: str, n: int) -> list[str]:
    return ours("postgres_ours", way="batches", url=url, n=n)


def ask_full(server: BenchmarkServer, url: str, n: int) -> Figures:
    return together([worker(url, n)], n, server.postmaster)


def report(run: Run) -> Section:
    section = Section(
        "growth_postgres",
        f"GROWTH ON POSTGRESQL: ns for each event, with {run.finished:,} finished in the tables",
    )
    n = min(N, run.finished)
    server = run.server
    with server.database() as url:
        progress(f"a database of {run.finished:,} finished events")
        together([worker(url, run.finished)], run.finished)
        questions: dict[str, Ask] = {
            NEW: partial(ask_own, server, "postgres_ours", "batches", n, 1),
            FULL: partial(ask_full, server, url, n),
        }
        answers = alternate("growth on PostgreSQL", questions, min(run.rounds, 3))
    for label in questions:
        if label in answers:
            section.rows.append(figure(label, answers.samples(label, "ns"), "ns", n))
        else:
            section.rows.append(absent(label, answers.failures[label], n))
    if NEW in answers and FULL in answers:
        ratio = faster(answers, NEW, answers, FULL)
        section.rows.append(held("    full tables, over new ones", ratio, bars.POSTGRES_GROWTH, n))
    return section
