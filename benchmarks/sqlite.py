"""Time for N no-op events over a SQLite file, from the first append to the last completion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import bars, disk
from benchmarks.environment import Environment
from benchmarks.isolate import Figures
from benchmarks.rounds import Answers, Ask, alternate
from benchmarks.run import Run
from benchmarks.table import Row, Section, absent, figure, held, speed

PEER_ROUNDS = 2
ENVIRONMENT = Environment("sqlite", "sqlite_peers.py", "huey and DBOS", "import dbos, huey")

RAW = "raw SQLite, batches of 100"
OURS = "lionpride, 100 callers of append"
OURS_BATCHES = "lionpride, append_many of 1,000"
OWN: dict[str, dict[str, Any]] = {
    RAW: {"module": "sqlite_raw"},
    OURS: {"module": "sqlite_ours", "way": "callers"},
    OURS_BATCHES: {"module": "sqlite_ours", "way": "batches"},
}


@dataclass(frozen=True)
class Peer:
    """Another library, in an environment of its own, with a number of jobs that it can finish."""

    label: str
    function: str
    n: int
    workers: int


PEERS = (
    Peer("huey, 1 worker", "huey", 5_000, 1),
    Peer("huey, 100 workers", "huey", 1_000, 100),
    Peer("DBOS, one call at a time", "dbos", 1_000, 1),
    Peer("DBOS, 100 callers", "dbos", 1_000, 100),
)


def report(run: Run) -> Section:
    section = Section(
        "sqlite",
        "SQLITE: ns for each event, synchronous=FULL; ratio = speed as a share of raw SQLite's",
        notes=[
            "huey and DBOS run fewer jobs, and the fastest way of each is compared.",
        ],
    )
    costs = [disk.sync_cost(run.folder)]
    limits = dict.fromkeys((peer.label for peer in PEERS), PEER_ROUNDS)
    for n in run.sizes:
        questions: dict[str, Ask] = {
            label: partial(disk.ask, run.folder, n=n, **way) for label, way in OWN.items()
        }
        peers = {peer.label: min(peer.n, n) for peer in PEERS}
        for peer in PEERS:
            questions[peer.label] = partial(ask_peer, run.folder, peer, peers[peer.label])
        answers = alternate(f"sqlite, N = {n:,}", questions, run.rounds, limits)
        add_figures(section, answers, dict.fromkeys(OWN, n) | peers)
        section.rows += comparisons(answers, n)
        costs.append(disk.sync_cost(run.folder))
    section.notes.insert(0, disk.where(run.folder, costs))
    return section


def ask_peer(folder: Path, peer: Peer, n: int) -> Figures:
    with disk.folder_in(folder) as own:
        return ENVIRONMENT.ask(peer.function, n=n, workers=peer.workers, folder=own)


def add_figures(section: Section, answers: Answers, sizes: Mapping[str, int]) -> None:
    for label, n in sizes.items():
        if label not in answers:
            section.rows.append(absent(label, answers.failures[label], n))
            continue
        row = figure(label, answers.samples(label, "ns"), "ns", n)
        if RAW in answers:
            row.ratio = speed(answers, label, RAW)
        section.rows.append(row)


def comparisons(answers: Answers, n: int) -> list[Row]:
    wanted = [
        ("raw SQLite", RAW, bars.OF_RAW_SQLITE),
        ("huey at its fastest", fastest(answers, "huey"), bars.THAN_HUEY),
        ("DBOS at its fastest", fastest(answers, "dbos"), bars.THAN_DBOS),
    ]
    return [
        held(f"    100 callers, of {name}", speed(answers, OURS, other), bar, n)
        for name, other, bar in wanted
        if OURS in answers and other is not None and other in answers
    ]


def fastest(answers: Answers, function: str) -> str | None:
    """Return the fastest measured way of a peer; None if none was measured."""
    labels = [peer.label for peer in PEERS if peer.function == function and peer.label in answers]
    return min(labels, key=lambda label: answers.samples(label, "ns").least, default=None)
