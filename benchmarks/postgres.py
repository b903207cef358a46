"""N no-op events through a PostgreSQL server: from the first append to the last completion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import bars, disk, redis_server
from benchmarks.bars import Bar
from benchmarks.environment import Environment
from benchmarks.filled import Setting
from benchmarks.fleet import foreign, one, ours, supplied, together
from benchmarks.isolate import Figures
from benchmarks.postgres_stage import Stage
from benchmarks.rounds import Answers, Ask, alternate
from benchmarks.table import Row, Section, absent, figure, held

SIZES = (10_000, 100_000)
WORKERS = (1, 2)
MOST_ROUNDS = 5
PEER_ROUNDS = 3
PEER_WARM_UP = 500
AT_ONCE = 1_000
"""As many as a process of pgqueuer's claims together, and runs: two managers, 500 each."""

OURS = "(i) ours, append_many of 1,000"
OURS_WIDE = "(i) ours, 1,000 of them at once"
OURS_CALLERS = "(i) ours, 100 callers of append"
RAW = "(j) raw asyncpg, batches of 100"
PGQUEUER = "(k) pgqueuer"
PGQUEUER_UNLOGGED = "(k) pgqueuer, volatile"
PROCRASTINATE = "(l) procrastinate"


@dataclass(frozen=True)
class Peer:
    """A library in an environment of its own; `n` jobs where it has no patience for all."""

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
    Peer(f"(m) {name} on Redis", name, "redis_peers", 5_000)
    for name in ("arq", "taskiq", "dramatiq", "celery")
)
PEERS = ON_POSTGRES + ON_REDIS


def by(workers: int) -> str:
    return f", {workers} worker{'s' if workers > 1 else ''}"


# --- one measurement ------------------------------------------------------------------


def ask_own(stage: Stage, module: str, way: str, n: int, workers: int, **how: int) -> Figures:
    """So many processes put in and run n together; the tables are there."""
    with stage.database() as url:
        one(ours(module, way="make", url=url, n=0))
        share = ours(module, way=way, url=url, n=n // workers, **how)
        return together([share] * workers, n, stage.postmaster)


def ask_on_postgres(stage: Stage, peer: Peer, n: int, workers: int) -> Figures:
    python = peer.environment.interpreter()
    with stage.database() as url:
        one(foreign(python, peer.script, way=f"{peer.name}_install", url=url, **peer.install or {}))
        share = foreign(python, peer.script, way=peer.name, url=url, n=n // workers)
        return supplied([share] * workers, [], n, PEER_WARM_UP * workers)


def ask_on_redis(folder: Path, peer: Peer, n: int, workers: int) -> Figures:
    """One process puts in; so many others work."""
    python = peer.environment.interpreter()
    with redis_server.redis(folder) as socket:
        both = {"peer": peer.name, "url": f"unix://{socket}"}
        producer = foreign(python, peer.script, **both, produce=[PEER_WARM_UP, n])
        worker = foreign(python, peer.script, **both)
        return supplied([producer], [worker] * workers, n, PEER_WARM_UP)


# --- the comparison -------------------------------------------------------------------


TITLE = (
    "POSTGRES: ns an event through one server, fsync=on; ratio = speed as a share of raw "
    "asyncpg's, median against median"
)
NOTES = (
    "each worker of (i) to (l) also puts in its share; beside those of (m) a process puts in.",
    "ours runs 100 at once, as (j) claims; beside (k), which claims 1,000 in each process, 1,000.",
    "(l) and (m) run fewer events; (m) keeps no result.",
    "a crash takes from Redis what came after its last snapshot, and from volatile pgqueuer all.",
)


def report(setting: Setting, stage: Stage) -> Section:
    section = Section("postgres", TITLE, notes=[stage.memory, *NOTES])
    rounds = min(setting.rounds, MOST_ROUNDS)
    costs = [disk.sync_cost(setting.folder)]
    few = {workers: Answers() for workers in WORKERS}
    for n in SIZES:
        for workers in WORKERS:
            asked = questions(setting, stage, n, workers)
            answers = alternate(f"postgres, N = {n:,}{by(workers)}", asked, rounds, LIMITS)
            few[workers].keep(answers, [peer.label for peer in PEERS if peer.n])
            add_figures(section, answers, n, workers)
            section.rows += comparisons(answers, few[workers], n, workers)
        costs.append(disk.sync_cost(setting.folder))
    section.notes.insert(0, disk.where(setting.folder, costs))
    return section


LIMITS = {peer.label: PEER_ROUNDS for peer in PEERS}


def questions(setting: Setting, stage: Stage, n: int, workers: int) -> dict[str, Ask]:
    own = partial(ask_own, stage, n=n, workers=workers)
    asked: dict[str, Ask] = {
        OURS: partial(own, "postgres_ours", "batches"),
        OURS_WIDE: partial(own, "postgres_ours", "batches", at_once=AT_ONCE),
        OURS_CALLERS: partial(own, "postgres_ours", "callers"),
        RAW: partial(own, "postgres_raw", "flow"),
    }
    for peer in PEERS:
        if peer.n and n > SIZES[0]:
            continue
        if peer in ON_REDIS:
            ask = partial(ask_on_redis, setting.folder)
        else:
            ask = partial(ask_on_postgres, stage)
        asked[peer.label] = partial(ask, peer, peer.n or n, workers)
    return asked


def add_figures(section: Section, answers: Answers, n: int, workers: int) -> None:
    counts = {peer.label: peer.n or n for peer in PEERS}
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
    """Ours at its fastest, against whoever was measured: a hundred at once, but for pgqueuer."""
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
    """How many times faster the one is than the other, by their medians."""
    return theirs.samples(other, "ns").median / answers.samples(label, "ns").median
