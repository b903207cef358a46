"""Time for N no-op events over PostgreSQL, from the first append to the last completion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import bars, disk, redis_server
from benchmarks.bars import Bar
from benchmarks.environment import Environment
from benchmarks.isolate import Figures
from benchmarks.postgres_server import BenchmarkServer
from benchmarks.processes import foreign, one, ours, supplied, together
from benchmarks.rounds import Answers, Ask, alternate
from benchmarks.run import Run
from benchmarks.table import Row, Section, absent, figure, held

WORKERS = (1, 2)
PEER_ROUNDS = 3
PEER_WARM_UP = 500
AT_ONCE = 1_000
"""Events that a process of pgqueuer claims and runs at once: two managers with 500 each."""

OURS = "lionpride, append_many, 100 at once"
OURS_WIDE = "lionpride, append_many, 1,000 at once"
OURS_CALLERS = "lionpride, 100 callers of append"
RAW = "raw asyncpg, batches of 100"
PGQUEUER = "pgqueuer"
PGQUEUER_UNLOGGED = "pgqueuer, volatile"
PROCRASTINATE = "procrastinate"


@dataclass(frozen=True)
class Peer:
    """Another library, in an environment of its own; ``n`` is the most jobs that it can finish."""

    label: str
    name: str
    script: str
    n: int | None = None
    install: Mapping[str, str] | None = None

    @property
    def environment(self) -> Environment:
        return Environment(self.name, f"{self.script}.py", self.name, f"import {self.name}")


ON_POSTGRES = (
    Peer(PGQUEUER, "pgqueuer", "postgres_peers", install={"durability": "durable"}),
    Peer(PGQUEUER_UNLOGGED, "pgqueuer", "postgres_peers", install={"durability": "volatile"}),
    Peer(PROCRASTINATE, "procrastinate", "postgres_peers", 2_000, {}),
)
ON_REDIS = tuple(
    Peer(f"{name} on Redis", name, "redis_peers", 5_000) for name in ("arq", "taskiq", "celery")
)
PEERS = ON_POSTGRES + ON_REDIS


def by(workers: int) -> str:
    return f", {workers} worker{'s' if workers > 1 else ''}"


def ask_own(
    server: BenchmarkServer, module: str, way: str, n: int, workers: int, **how: int
) -> Figures:
    """Let processes append and run n events together; the tables exist before."""
    with server.database() as url:
        one(ours(module, way="make", url=url, n=0))
        share = ours(module, way=way, url=url, n=n // workers, **how)
        return together([share] * workers, n, server.postmaster)


def ask_on_postgres(server: BenchmarkServer, peer: Peer, n: int, workers: int) -> Figures:
    python = peer.environment.interpreter()
    with server.database() as url:
        one(foreign(python, peer.script, way=f"{peer.name}_install", url=url, **peer.install or {}))
        share = foreign(python, peer.script, way=peer.name, url=url, n=n // workers)
        return supplied([share] * workers, [], n, PEER_WARM_UP * workers)


def ask_on_redis(folder: Path, peer: Peer, n: int, workers: int) -> Figures:
    """Let one process enqueue, and others work."""
    python = peer.environment.interpreter()
    with redis_server.redis(folder) as socket:
        both = {"peer": peer.name, "url": f"unix://{socket}"}
        producer = foreign(python, peer.script, **both, produce=[PEER_WARM_UP, n])
        worker = foreign(python, peer.script, **both)
        return supplied([producer], [worker] * workers, n, PEER_WARM_UP)


TITLE = (
    "POSTGRES: ns for each event over one server, fsync=on; ratio = speed as a share of raw "
    "asyncpg's, median against median"
)
NOTES = (
    "each worker also appends its share; on Redis, a separate process enqueues.",
    "100 events run at once, as raw asyncpg claims; for pgqueuer 1,000, as it claims.",
    "procrastinate and those on Redis run fewer jobs; those on Redis keep no result.",
    "a crash loses all jobs since the last snapshot on Redis, and all jobs of volatile pgqueuer.",
)
LIMITS = {peer.label: PEER_ROUNDS for peer in PEERS}


def report(run: Run) -> Section:
    section = Section("postgres", TITLE, notes=list(NOTES))
    server = run.server
    costs = [disk.sync_cost(run.folder)]
    few = {workers: Answers() for workers in WORKERS}
    for n in run.sizes:
        for workers in WORKERS:
            asked = questions(run, server, n, workers)
            answers = alternate(f"postgres, N = {n:,}{by(workers)}", asked, run.rounds, LIMITS)
            few[workers].keep(answers, [peer.label for peer in PEERS if peer.n])
            add_figures(section, answers, n, workers)
            section.rows += comparisons(answers, few[workers], n, workers)
        costs.append(disk.sync_cost(run.folder))
    section.notes.insert(0, disk.where(run.folder, costs))
    return section


def questions(run: Run, server: BenchmarkServer, n: int, workers: int) -> dict[str, Ask]:
    own = partial(ask_own, server, n=n, workers=workers)
    asked: dict[str, Ask] = {
        OURS: partial(own, "postgres_ours", "batches"),
        OURS_WIDE: partial(own, "postgres_ours", "batches", at_once=AT_ONCE),
        OURS_CALLERS: partial(own, "postgres_ours", "callers"),
        RAW: partial(own, "postgres_raw", "flow"),
    }
    for peer in PEERS:
        if peer.n and n > min(run.sizes):
            continue  # measured once, with the smallest number
        if peer in ON_REDIS:
            ask = partial(ask_on_redis, run.folder)
        else:
            ask = partial(ask_on_postgres, server)
        asked[peer.label] = partial(ask, peer, min(peer.n or n, n), workers)
    return asked


def add_figures(section: Section, answers: Answers, n: int, workers: int) -> None:
    counts = {peer.label: min(peer.n or n, n) for peer in PEERS}
    for label in answers.asked:
        count = counts.get(label, n)
        if label not in answers:
            section.rows.append(absent(label + by(workers), answers.failures[label], count))
            continue
        row = figure(label + by(workers), answers.samples(label, "ns"), "ns", count)
        if RAW in answers:
            row.ratio = faster(answers, label, answers, RAW)
        section.rows.append(row)


def comparisons(answers: Answers, few: Answers, n: int, workers: int) -> list[Row]:
    """Compare the fastest way of this library with each candidate that was measured."""
    wanted: list[tuple[str, Answers, str, Bar]] = [
        ("of raw asyncpg", answers, RAW, bars.OF_RAW_POSTGRES),
        ("times procrastinate", few, PROCRASTINATE, bars.THAN_PROCRASTINATE),
        *((f"times {peer.name}", few, peer.label, bars.THAN_ON_REDIS) for peer in ON_REDIS),
    ]
    ours = [label for label in (OURS, OURS_CALLERS) if label in answers]
    if not ours:
        return []
    best = min(ours, key=lambda label: answers.samples(label, "ns").median)
    pairs = [(best, *one) for one in wanted]
    if OURS_WIDE in answers:
        pairs.insert(1, (OURS_WIDE, "times pgqueuer", answers, PGQUEUER, bars.THAN_PGQUEUER))
    return [
        held(f"    {words}{by(workers)}", faster(answers, mine, theirs, label), bar, n)
        for mine, words, theirs, label, bar in pairs
        if label in theirs
    ]


def faster(answers: Answers, label: str, theirs: Answers, other: str) -> float:
    """Return how many times faster the one is than the other, by their medians."""
    return theirs.samples(other, "ns").median / answers.samples(label, "ns").median
