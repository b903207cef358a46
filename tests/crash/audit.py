"""What is held against each other at the end: the journal, and what the store has on record."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from crash.facts import Facts
from crash.journal import Line, read


@dataclass
class Findings:
    """What came out.

    Attributes:
        events, attempts, interrupted: How many there were.
        order: The numbers of what was claimed, in the order of the claims.
        lost, twice, overlapping, wrong: What should not be.
    """

    events: int = 0
    attempts: int = 0
    interrupted: int = 0
    order: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    overlapping: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def troubles(self) -> list[str]:
        """Everything that should not be."""
        named = {"lost": self.lost, "completed twice": self.twice, "overlap": self.overlapping}
        found = [f"{name}: {each}" for name, those in named.items() for each in those]
        return found + self.wrong


def audit(facts: Facts, journal: Path) -> Findings:
    """Hold what a store says, on which nobody works any more, against its journal."""
    found, lines = Findings(events=len(facts.numbers), wrong=list(facts.wrong)), read(journal)
    _check_kept(facts, lines, found)
    _check_attempts(facts, lines, found)
    _check_overlaps(facts, lines, found)
    return found


def _check_kept(facts: Facts, lines: list[Line], found: Findings) -> None:
    """What was acknowledged is there, and everything has been completed once."""
    numbers = facts.numbers
    for line in lines:
        if line.what == "appended" and line.event not in numbers:
            found.lost.append(f"event {line.event}, acknowledged to {line.pid}, is not there")
    ended = {end.number: end for end in facts.finished}
    for uid, number in numbers.items():
        end = ended.get(number)
        if end is None or end.status != "completed":
            found.wrong.append(f"event {uid} is {'not ended' if end is None else end.status}")
    told: Counter[str] = Counter()
    for line in lines:
        if line.what == "settled":
            told[line.event] += 1
            end = ended.get(numbers.get(line.event, 0))
            if end is None or end.attempt != line.attempt:
                found.lost.append(f"the completion {line} was acknowledged, and is not there")
    found.twice += [f"event {uid}, as was told" for uid, times in told.items() if times > 1]
    found.twice += [f"event {n}, on record" for n, times in facts.ends.items() if times > 1]


def _check_attempts(facts: Facts, lines: list[Line], found: Findings) -> None:
    """Attempts increase by one from claim to claim; what was cut short is an interruption.

    What was to fail has failed so often, and each of these attempts is kept.
    """
    last: Counter[int] = Counter()
    for number, attempt in facts.claims:
        if attempt != last[number] + 1:
            found.wrong.append(f"attempt {attempt} of event {number} follows {last[number]}")
        last[number] = attempt
        found.order.append(number)
    for end in facts.finished:
        found.attempts += end.attempt
        found.interrupted += end.interruptions
        said = end.tries, end.kept, end.denials, end.interruptions, end.attempt
        slipped = facts.slips[end.number]
        if said != (slipped, slipped, 0, end.attempt - 1 - slipped, last[end.number]):
            found.wrong.append(
                f"{end} of an event that was to fail {slipped} times, and was claimed "
                f"{last[end.number]} times by the audit"
            )
    starts = Counter((x.event, x.attempt) for x in lines if x.what == "start")
    found.wrong += [f"{each} started {n} times" for each, n in starts.items() if n > 1]
    finishes = {(x.event, x.attempt) for x in lines if x.what == "finish"}
    attempts = {end.number: end.attempt for end in facts.finished}
    for uid, number in facts.numbers.items():
        if (uid, attempts.get(number)) not in finishes:
            found.wrong.append(f"event {uid}: the attempt on record never finished")


def _check_overlaps(facts: Facts, lines: list[Line], found: Findings) -> None:
    """No attempt starts while one before it runs, and holds its lease, in a living process."""
    since = time.time() - time.monotonic()
    finishes = {(x.event, x.attempt): x.at for x in lines if x.what == "finish"}
    # The parent notes a kill before it sends it: what the worker still wrote, it lived to write.
    said = {line.pid: line.at for line in lines if line.what != "kill"}
    killed = {line.pid: line.at for line in lines if line.what in ("kill", "point")}
    deaths = {pid: max(at, said.get(pid, at)) for pid, at in killed.items()}
    runs: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.what == "start":
            runs[line.event].append(line)
    for uid, starts in runs.items():
        starts.sort(key=lambda line: line.attempt)
        for one, other in pairwise(starts):
            death = deaths.get(one.pid, float("inf"))
            lapse = facts.until[facts.numbers[uid], one.attempt] - since
            end = min(finishes.get((uid, one.attempt), float("inf")), death, lapse)
            if other.at < end:
                found.overlapping.append(
                    f"event {uid}: attempt {other.attempt} in {other.pid} began "
                    f"{end - other.at:.3f} s before the end of attempt {one.attempt} in {one.pid}"
                )
