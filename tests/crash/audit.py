"""What is held against each other at the end: the journal, and what the store has on record."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from crash.dependents import check
from crash.facts import LEASE, Facts
from crash.journal import Line, read

RELEASES = ("old", "stop", "exhausted", "interrupt", "hold", "disconnect", "crash")
"""Lines of workers that may release a claim, which counts for nothing, before they start it."""


@dataclass
class Findings:
    """What came out.

    Attributes:
        events, attempts, interrupted: How many there were.
        order: The numbers of what was claimed, in the order of the claims.
        cancelled: How many events ended so.
        children: How many events had parents; ``stopped`` were cancelled for one of them.
        continued: How many events were continued by another.
        gaps: How many attempts had their process stopped between the check of the claim and the
            first line of the event's code. The documents name this gap.
        forgotten, early, amiss: See ``dependents.Broken``; ``amiss`` are the continuations.
        lost, twice, overlapping, late, again, stuck, wrong: What should not be. ``late`` are
            attempts that began after the event had finished elsewhere; ``again`` are claims after a
            cancel had been answered; ``stuck`` are events that no healthy worker came to finish.
    """

    events: int = 0
    attempts: int = 0
    interrupted: int = 0
    cancelled: int = 0
    children: int = 0
    stopped: int = 0
    continued: int = 0
    gaps: int = 0
    order: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    overlapping: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    amiss: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def troubles(self) -> list[str]:
        """Everything that should not be."""
        named = {
            "lost": self.lost,
            "completed twice": self.twice,
            "overlap": self.overlapping,
            "started after it had finished elsewhere": self.late,
            "cancelled and started again": self.again,
            "stuck": self.stuck,
            "forgotten child": self.forgotten,
            "child that ran too early": self.early,
            "continuation": self.amiss,
        }
        found = [f"{name}: {each}" for name, those in named.items() for each in those]
        return found + self.wrong


def audit(facts: Facts, journal: Path) -> Findings:
    """Hold what a store says, on which nobody works any more, against its journal."""
    found, lines = Findings(events=len(facts.numbers), wrong=list(facts.wrong)), read(journal)
    _check_kept(facts, lines, found)
    _check_cancels(facts, lines, found)
    _check_attempts(facts, lines, found)
    _check_overlaps(facts, lines, found)
    _check_dependents(facts, found)
    found.wrong += [
        f"the forked child {line.pid} could append" for line in lines if line.what == "unrefused"
    ]
    return found


def _check_kept(facts: Facts, lines: list[Line], found: Findings) -> None:
    """What was acknowledged is there, and everything has been completed once, or cancelled."""
    numbers, dependents = facts.numbers, facts.dependents
    asked = {
        number
        for line in lines
        if line.what == "ask" and line.event in numbers
        for number in dependents.cancelled_with(numbers[line.event])
    }
    for line in lines:
        if line.what == "appended" and line.event not in numbers:
            found.lost.append(f"event {line.event}, acknowledged to {line.pid}, is not there")
    ended = {end.number: end for end in facts.finished}
    struck = _struck(lines)
    for uid, number in numbers.items():
        end = ended.get(number)
        may_be = {"failed" if number in dependents.fails else "completed"}
        if number in asked or dependents.was_cancelled_for_a_parent(number):
            may_be.add("cancelled")
        may_be |= {"failed"} if uid in struck else set()
        if end is None or end.status not in may_be:
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


def _struck(lines: list[Line]) -> set[str]:
    """Return the events that ran in a process that got SIGINT: KeyboardInterrupt fails them."""
    interrupted = {line.pid for line in lines if line.what == "interrupt"}
    return {line.event for line in lines if line.what == "start" and line.pid in interrupted}


def _check_cancels(facts: Facts, lines: list[Line], found: Findings) -> None:
    """No attempt is claimed after a cancel was answered, whether the event waited or ran."""
    cancels = dict(facts.cancels)
    for end in facts.finished:
        if end.status == "cancelled":
            is_for_parent = facts.dependents.was_cancelled_for_a_parent(end.number)
            found.stopped += is_for_parent
            found.cancelled += not is_for_parent
            cancels.setdefault(end.number, end.attempt)
    for line in lines:
        if line.what != "cancel":
            continue
        if cancels.keys().isdisjoint(facts.dependents.chain(facts.numbers.get(line.event, 0))):
            found.lost.append(f"the cancel {line} was answered, and is not on record")
    found.again += [
        f"event {number}: attempt {attempt}, cancelled in attempt {cancels[number]}"
        for number, attempt in facts.claims
        if attempt > cancels.get(number, attempt)
    ]


def _check_attempts(facts: Facts, lines: list[Line], found: Findings) -> None:
    """Attempts increase by one from claim to claim; what was cut short is an interruption.

    What was to fail has failed so often, and each of these attempts is kept. A worker
    releases what it cannot build, and a claim that is older than its lease, before the start.
    """
    last: Counter[int] = Counter()
    starts = Counter((x.event, x.attempt) for x in lines if x.what == "start")
    begun = Counter(uid for uid, _ in starts)
    uids = {number: uid for uid, number in facts.numbers.items()}
    releases = any(line.what in RELEASES for line in lines)
    for number, attempt in facts.claims:
        if attempt != last[number] + 1:
            found.wrong.append(f"attempt {attempt} of event {number} follows {last[number]}")
        last[number] = attempt
        found.order.append(number)
    completed = {end.number for end in facts.finished if end.status == "completed"}
    struck = {facts.numbers.get(uid) for uid in _struck(lines)}
    for end in facts.finished:
        found.attempts += end.attempt
        found.interrupted += end.interruptions
        if end.number in struck and end.status == "failed":
            continue  # by a KeyboardInterrupt, whose attempt may not be kept
        said = end.tries, end.kept, end.denials, end.attempt
        slipped = facts.slips[end.number] if end.number in completed else end.tries
        last_one = 1 if end.number in completed else 0
        released = end.attempt - last_one - slipped - end.interruptions
        most = end.attempt - begun[uids[end.number]] if releases else 0
        if end.number not in completed:
            most += 1  # the attempt that a cancel ended counts as nothing else
        if said != (slipped, slipped, 0, last[end.number]) or not 0 <= released <= most:
            found.wrong.append(
                f"{end} of an event that was to fail {slipped} times, and was claimed "
                f"{last[end.number]} times by the audit"
            )
    found.wrong += [f"{each} started {n} times" for each, n in starts.items() if n > 1]
    finishes = {(x.event, x.attempt) for x in lines if x.what == "finish"}
    attempts = {end.number: end.attempt for end in facts.finished}
    for uid, number in facts.numbers.items():
        if number in completed and (uid, attempts.get(number)) not in finishes:
            found.wrong.append(f"event {uid}: the attempt on record never finished")


def _check_dependents(facts: Facts, found: Findings) -> None:
    """Children have ended as their parents require, and continuations are those on record."""
    dependents = facts.dependents
    finished = [(end.number, end.status, end.attempt) for end in facts.finished]
    broken = check(dependents, facts.numbers, finished)
    found.children = len({edge.child for edge in dependents.edges})
    found.continued = len(dependents.following)
    found.forgotten += broken.forgotten
    found.early += broken.early
    found.amiss += broken.continued
    found.wrong += broken.unsound


def _check_overlaps(facts: Facts, lines: list[Line], found: Findings) -> None:
    """No attempt starts while another one runs in a living process, nor after the event's end.

    A process may lose its lease only while one was stopped: itself, or another one, perhaps in the
    middle of a commit, for which every other process waits; or while the server was down.
    Otherwise it renews its leases in time.
    An executor starts no event again that it runs, whatever befalls it; nor do two in one process,
    if there is no other worker.

    Each claim is checked in the step of the event loop that starts the event. If a process was
    stopped between the two, the attempt counts as begun when the claim was checked.
    """
    since = time.time() - time.monotonic()
    finishes = {(x.event, x.attempt): x.at for x in lines if x.what in ("finish", "cut")}
    two = {line.pid for line in lines if line.what == "two"}
    alone = any(line.what == "alone" for line in lines)
    recorded = {end.number: end.attempt for end in facts.finished}
    deaths, leases = _deaths(lines), _leases(lines)
    stops = [line for line in lines if line.what in ("stop", "crash")]
    goes_on = [line for line in lines if line.what == "continue"]
    runs: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.what != "start":
            continue
        if line.extra == "-":
            found.wrong.append(f"{line} came without a check of its claim right before it")
            continue
        checked = float(line.extra)
        if any(go.pid == line.pid and checked < go.at <= line.at for go in goes_on):
            found.gaps += 1
            runs[line.event].append(line._replace(at=checked))
        else:
            runs[line.event].append(line)

    def end_of(one: Line, other: Line) -> float:
        end = min(
            finishes.get((one.event, one.attempt), float("inf")),
            deaths.get(one.pid, float("inf")),
        )
        if one.pid == other.pid and (alone or one.pid not in two):
            return end
        if any(stop.pid == one.pid or one.at - LEASE < stop.at < other.at for stop in stops):
            number = facts.numbers[one.event]
            end = min(end, facts.lapse(number, one.attempt, leases[one.pid]) - since)
        return end

    for uid, starts in runs.items():
        starts.sort(key=lambda line: line.at)
        finished = facts.ended.get(facts.numbers[uid], float("inf")) - since
        for one, other in pairwise(starts):
            if other.at < (end := end_of(one, other)):
                found.overlapping.append(
                    f"event {uid}: attempt {other.attempt} in {other.pid} began "
                    f"{end - other.at:.3f} s before the end of attempt {one.attempt} in {one.pid}"
                )
        found.late += [
            f"event {uid}: attempt {one.attempt} in {one.pid} began {one.at - finished:.3f} s after"
            for one in starts
            if one.at > finished and one.attempt != recorded.get(facts.numbers[uid])
        ]


def _deaths(lines: list[Line]) -> dict[int, float]:
    """Return when each process died.

    The parent notes a kill before it sends it: what the worker still wrote, it lived to write.
    """
    said = {line.pid: line.at for line in lines if line.what != "kill"}
    killed = {line.pid: line.at for line in lines if line.what in ("kill", "point")}
    return {pid: max(at, said.get(pid, at)) for pid, at in killed.items()}


def _leases(lines: list[Line]) -> dict[int, float]:
    """Return the length of each worker's lease."""
    return {line.pid: float(line.extra) for line in lines if line.what == "up"}
