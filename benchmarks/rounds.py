"""Alternating rounds: each round measures every candidate, so a slow minute affects all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping

from benchmarks.isolate import Figures, MeasurementError
from benchmarks.table import Samples

Ask = Callable[[], Figures]


class Answers:
    """The figures of each candidate in each round, or the reason why there are none."""

    def __init__(self) -> None:
        self.figures: dict[str, list[Figures]] = {}
        self.failures: dict[str, str] = {}

    def samples(self, candidate: str, key: str) -> Samples:
        return Samples(float(figures[key]) for figures in self.figures[candidate])

    @property
    def asked(self) -> list[str]:
        """All candidates, in the order in which they were first measured."""
        return list(self.figures)

    def keep(self, other: Answers, candidates: Iterable[str]) -> None:
        """Copy the figures, or the failures, of some candidates."""
        for name in candidates:
            if name in other.figures:
                self.figures[name] = other.figures[name]
            if name in other.failures:
                self.failures[name] = other.failures[name]

    def __contains__(self, candidate: str) -> bool:
        return candidate not in self.failures and bool(self.figures.get(candidate))


def alternate(
    what: str, candidates: Mapping[str, Ask], rounds: int, limits: Mapping[str, int] | None = None
) -> Answers:
    """Measure in rounds, each starting with another candidate.

    Args:
        what: For the display.
        candidates: By label.
        rounds: Their number.
        limits: The number of rounds of slow candidates.
    """
    answers = Answers()
    names = list(candidates)
    for turn in range(rounds):
        progress(f"{what}, round {turn + 1} of {rounds}")
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if turn < (limits or {}).get(name, rounds) and name not in answers.failures:
                ask_one(answers, name, candidates[name])
    return answers


def ask_one(answers: Answers, name: str, ask: Ask) -> None:
    try:
        answers.figures.setdefault(name, []).append(ask())
    except MeasurementError as error:
        answers.failures[name] = str(error)
        progress(f"  {name}: {error}")


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
