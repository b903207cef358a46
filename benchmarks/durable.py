"""N no-op events through a file: from the first append to the last completion on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import bars, disk, durable_env
from benchmarks.filled import Setting
from benchmarks.isolate import Figures
from benchmarks.rounds import Answers, Ask, alternate
from benchmarks.table import Row, Section, absent, figure, held
from benchmarks.throughput import speed

SIZES = (10_000, 100_000)
BULK = 100_000
MOST_ROUNDS = 5
PEER_ROUNDS = 2

RAW = "(f) raw SQLite"
RAW_ORDERED = "(f) raw SQLite, ids in order of time"
RAW_BULK = "(f) raw SQLite, one bulk insert"
OURS = "(e) ours, 100 callers of append"
OURS_BATCHES = "(e) ours, append_many of 1,000"
OURS_BULK = "(e) ours, one append_many, made before"
ON_DISK: dict[str, dict[str, Any]] = {
    RAW: {"module": "ceiling", "way": "flow"},
    RAW_ORDERED: {"module": "ceiling", "way": "flow", "ordered": True},
    OURS: {"module": "ours_on_disk", "way": "appenders"},
    OURS_BATCHES: {"module": "ours_on_disk", "way": "batches"},
}
IN_BULK: dict[str, dict[str, Any]] = {
    RAW_BULK: {"module": "ceiling", "way": "bulk"},
    OURS_BULK: {"module": "ours_on_disk", "way": "bulk"},
}


@dataclass(frozen=True)
class Peer:
    """A library in an environment of its own, with as many events as it has the patience for."""

    label: str
    question: str
    n: int
    workers: int


PEERS = (
    Peer("(g) huey, 1 worker", "huey", 5_000, 1),
    Peer("(g) huey, 100 workers", "huey", 1_000, 100),
    Peer("(h) DBOS, one call at a time", "dbos", 1_000, 1),
    Peer("(h) DBOS, 100 callers", "dbos", 1_000, 100),
)


def report(setting: Setting) -> Section:
    section = Section(
        "durable",
        "DURABLE: ns an event, synchronous=FULL; ratio = speed as a share of raw SQLite's, "
        "minimum against minimum",
        notes=[
            "raw SQLite: one thread, the events as JSON already, a hundred in each transaction.",
            "huey and DBOS run fewer events, and their fastest way is the one compared.",
        ],
    )
    rounds = min(setting.rounds, MOST_ROUNDS)
    costs = [disk.sync_cost(setting.folder)]
    limits = dict.fromkeys((peer.label for peer in PEERS), PEER_ROUNDS)
    for n in SIZES:
        asked = questions(setting, ON_DISK, n) | peer_questions(setting)
        answers = alternate(f"durable, N = {n:,}", asked, rounds, limits)
        add_figures(section, answers, dict.fromkeys(ON_DISK, n), RAW)
        add_figures(section, answers, {peer.label: peer.n for peer in PEERS}, RAW)
        section.rows += comparisons(answers, n)
        costs.append(disk.sync_cost(setting.folder))
    answers = alternate("durable, in bulk", questions(setting, IN_BULK, BULK), rounds)
    add_figures(section, answers, dict.fromkeys(IN_BULK, BULK), RAW_BULK)
    if RAW_BULK in answers and OURS_BULK in answers:
        share = speed(answers, OURS_BULK, RAW_BULK)
        section.rows.append(held("    of the bulk insert", share, bars.OF_RAW_BULK, BULK))
    section.notes.insert(0, disk.where(setting.folder, costs))
    return section


def questions(setting: Setting, ways: dict[str, dict[str, Any]], n: int) -> dict[str, Ask]:
    return {label: partial(disk.ask, setting.folder, n=n, **way) for label, way in ways.items()}


def peer_questions(setting: Setting) -> dict[str, Ask]:
    return {peer.label: partial(ask_peer, setting.folder, peer) for peer in PEERS}


def ask_peer(folder: Path, peer: Peer) -> Figures:
    with disk.folder_in(folder) as own:
        return durable_env.ask(peer.question, n=peer.n, workers=peer.workers, folder=own)


def add_figures(
    section: Section, answers: Answers, sizes: Mapping[str, int], reference: str
) -> None:
    for label, n in sizes.items():
        if label not in answers:
            section.rows.append(absent(label, answers.failures[label], n))
            continue
        row = figure(label, answers.samples(label, "ns"), "ns", n)
        if reference in answers:
            row.ratio = speed(answers, label, reference)
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


def fastest(answers: Answers, question: str) -> str | None:
    """The way of a peer in which an event takes the least time, of those that were measured."""
    labels = [peer.label for peer in PEERS if peer.question == question and peer.label in answers]
    return min(labels, key=lambda label: answers.samples(label, "ns").least, default=None)
