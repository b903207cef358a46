"""How long N no-op jobs take, by priority and a hundred at a time, until the counts are read."""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import bars, candidates, original_env
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import Answers, Ask, alternate
from benchmarks.table import Row, Section, absent, figure, held

MILLION = 1_000_000
SIZES = (1_000, 10_000, 100_000, MILLION)
BARRED_SIZES = (10_000, 100_000)
WARM_UP = 2_000
REPEATS = {1_000: 15, 10_000: 7}
SLOW_ROUNDS = 3

Result = dict[int, Answers]


@dataclass(frozen=True)
class Contestant:
    """A way to run the jobs, and the largest N that it is asked for."""

    label: str
    module: str
    function: str
    premade: bool = False
    largest: int = 100_000
    most_rounds: int | None = None


BARE = "(a) bare asyncio"
BARE_PREMADE = "(a) made before"
QUEUE = "(b) PriorityQueue"
QUEUE_PREMADE = "(b) made before"
AIOJOBS = "(c) aiojobs"
ORIGINAL = "(d) the original"
OURS = "(e) ours, whole path"
OURS_PREMADE = "(e) ours, made before"
OURS_FIRST = "(e) ours, append, then start"
OURS_FIELD = "(e) ours, with a field"
OURS_MANY = "(e) ours, append_many"

CONTESTANTS = (
    Contestant(BARE, "candidates", "bare", largest=MILLION),
    Contestant(BARE_PREMADE, "candidates", "bare", premade=True),
    Contestant(QUEUE, "candidates", "priority_queue"),
    Contestant(QUEUE_PREMADE, "candidates", "priority_queue", premade=True),
    Contestant(AIOJOBS, "candidates", "aiojobs"),
    Contestant(ORIGINAL, "original", "", largest=10_000, most_rounds=SLOW_ROUNDS),
    Contestant(OURS, "ours", "running", largest=MILLION),
    Contestant(OURS_PREMADE, "ours", "running", premade=True, largest=MILLION),
    Contestant(OURS_FIELD, "ours", "numbered"),
    Contestant(OURS_FIRST, "ours", "appended_first"),
    Contestant(OURS_MANY, "ours", "appended_many"),
)


# --- the measured side ----------------------------------------------------------------


def child(module: str, function: str, n: int, premade: bool) -> Figures:
    """Warm up, then time; small runs several times over, for one lasts but a millisecond."""
    run: candidates.Candidate
    if module == "ours":
        from benchmarks import ours

        run = getattr(ours, function)
    else:
        run = getattr(candidates, function)
    asyncio.run(run(candidates.shuffled_priorities(WARM_UP), premade))
    priorities = candidates.shuffled_priorities(n)
    took = []
    for _ in range(REPEATS.get(n, 1)):
        gc.collect()
        took.append(asyncio.run(run(priorities, premade)) / n)
    return {"ns": statistics.median(took)}


# --- the asking side ------------------------------------------------------------------


def collect(
    sizes: Sequence[int], rounds: int, contestants: Sequence[Contestant] = CONTESTANTS
) -> Result:
    """Every contestant at every size; a million jobs in fewer rounds, for they take minutes."""
    result: Result = {}
    for n in sizes:
        asked = [c for c in contestants if n <= c.largest]
        limits = {c.label: c.most_rounds for c in asked if c.most_rounds is not None}
        turns = min(rounds, SLOW_ROUNDS) if n >= MILLION else rounds
        questions = {c.label: question(c, n) for c in asked}
        result[n] = alternate(f"throughput, N = {n:,}", questions, turns, limits)
    return result


def question(contestant: Contestant, n: int) -> Ask:
    if contestant.module == "original":
        return partial(original_env.ask, "throughput", n=n, seed=candidates.SEED)
    parameters: dict[str, Any] = {
        "function": contestant.function,
        "n": n,
        "premade": contestant.premade,
    }
    return partial(ask_child, contestant.module, parameters)


def ask_child(module: str, parameters: dict[str, Any]) -> Figures:
    return measure("throughput", {"module": module, **parameters})


def report(result: Result) -> Section:
    section = Section(
        "throughput",
        "THROUGHPUT: ns an event; ratio = speed as a share of (b)'s, minimum against minimum",
        notes=[
            "made before: the jobs are made before the clock starts; held against (b) likewise.",
            "with a field: each event is given one, and pydantic validates it; (b)'s have none.",
            "aiojobs knows no priority; the original loses those given before start().",
        ],
    )
    for n, answers in result.items():
        section.rows += figures(n, answers)
        if n in BARRED_SIZES:
            section.rows += comparisons(n, answers)
    return section


def figures(n: int, answers: Answers) -> list[Row]:
    rows = []
    for contestant in CONTESTANTS:
        label = contestant.label
        if label in answers:
            row = figure(label, answers.samples(label, "ns"), "ns", n)
            reference = QUEUE_PREMADE if contestant.premade else QUEUE
            if reference in answers:
                row.ratio = speed(answers, label, reference)
            rows.append(row)
        elif label in answers.failures:
            rows.append(absent(label, answers.failures[label], n))
    return rows


def comparisons(n: int, answers: Answers) -> list[Row]:
    wanted = [
        ("    whole path, of (b)", OURS, QUEUE, bars.WHOLE_PATH),
        ("    whole path, of aiojobs", OURS, AIOJOBS, bars.THAN_AIOJOBS),
        ("    whole path, of the original", OURS, ORIGINAL, bars.THAN_ORIGINAL),
        ("    engine only, of (b) made before", OURS_PREMADE, QUEUE_PREMADE, bars.ENGINE_ONLY),
        ("    engine only, of (b)", OURS_PREMADE, QUEUE, bars.ENGINE_ONLY),
    ]
    return [
        held(label, speed(answers, one, other), bar, n)
        for label, one, other, bar in wanted
        if one in answers and other in answers
    ]


def speed(answers: Answers, one: str, other: str) -> float:
    """How fast one is as a share of the other: by minima, the machine being noisy."""
    return answers.samples(other, "ns").least / answers.samples(one, "ns").least
