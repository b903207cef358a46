"""Events with parents, conditions and continuations, and what the audit requires of them.

A deed that ``follows`` returns ``Then``. The events that it makes have an ``origin``: the id of the
deed and its attempt. So the audit finds those whose attempt is not the one on record.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, cast
from uuid import UUID

from lionpride.core import EventStatus, Then
from lionpride.model.after import CONDITIONS, When
from lionpride.rules.dependencies import is_met

RECENT = 60
"""How many of the latest events may be parents."""


# -- what is appended ------------------------------------------------------------------------------


def draw_after(
    rng: Random, deeds: Sequence[Any], known: Sequence[UUID] = ()
) -> tuple[dict[UUID, list[UUID]], When]:
    """Draw parents for some deeds of a batch: earlier ones of the batch, and events of the store.

    Returns:
        The parents by the id of the child, and the condition for all of them.
    """
    when = cast("When", rng.choice(("completed", "completed", *CONDITIONS)))
    after: dict[UUID, list[UUID]] = {}
    for place, deed in enumerate(deeds):
        if rng.random() < 0.4:
            earlier = [each.id for each in deeds[max(0, place - 5) : place]]
            possible = [*earlier, *known[-RECENT:]]
            if parents := rng.sample(possible, min(len(possible), rng.choice((1, 1, 2, 4)))):
                after[deed.id] = parents
    return after, when


def draw_kinds(rng: Random) -> dict[str, Any]:
    """Draw whether a deed fails in the end, or is continued by others."""
    draw = rng.random()
    if draw < 0.06:
        return {"fails": True}
    return {"follows": rng.choice((1, 2, 3))} if draw < 0.2 else {}


def continue_deed(deed: Any) -> "Then[Any]":
    """Return what continues a deed: an event after so many new ones, but for one.

    The continuation of a deed that ``follows`` three is continued itself.
    """
    kind, origin = type(deed), f"{deed.id}/{deed.execution.attempt}"
    parents = [
        kind(label=deed.label, slips=at % 2, origin=origin) for at in range(deed.follows - 1)
    ]
    last = kind(label=deed.label, follows=int(deed.follows == 3), origin=origin)
    return Then(last, after=parents, when=CONDITIONS[deed.label % 2 * 2])


# -- what the store has on record ------------------------------------------------------------------


class Edge(NamedTuple):
    """A parent and its child, the condition, and whether the store says that it is met."""

    parent: int
    child: int
    when: When
    met: bool | None


@dataclass
class Dependents:
    """What the tables say of parents, children and continuations, by the numbers of the events.

    Attributes:
        edges: The parents of all children.
        following: The continuation of each event that has one.
        fails, follows, origins: The fields of the deeds that have them.
        results: The results of those that ended: a response or an error, as they are stored.
        claimed, ended: When each was claimed first, and when it ended: their order in the audit.
    """

    edges: list[Edge] = field(default_factory=list)
    following: dict[int, int] = field(default_factory=dict)
    fails: set[int] = field(default_factory=set)
    follows: dict[int, int] = field(default_factory=dict)
    origins: dict[int, str] = field(default_factory=dict)
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    claimed: dict[int, int] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        edges: Iterable[Any],
        following: Iterable[Any],
        payloads: Iterable[Any],
        results: Iterable[Any],
        audit: Iterable[Any],
    ) -> "Dependents":
        """Make one of rows of the tables.

        Args:
            edges: Parent, child, condition, and whether it is met.
            following: The number of an event, and that of its continuation.
            payloads: The number of each event, and its payload.
            results: The number of each event that has ended, and its result.
            audit: What happened to which event, at which place in the audit, in that order.
        """
        found = cls(
            edges=[
                Edge(p, c, when, None if met is None else bool(met)) for p, c, when, met in edges
            ],
            following=dict(map(tuple, following)),
            results={number: json.loads(text) if text else {} for number, text in results},
        )
        for number, text in payloads:
            deed = json.loads(text)
            if deed.get("fails"):
                found.fails.add(number)
            if deed.get("follows"):
                found.follows[number] = deed["follows"]
            if deed.get("origin"):
                found.origins[number] = deed["origin"]
        for what, number, at in audit:
            if what in ("leased", "ended"):
                (found.claimed if what == "leased" else found.ended).setdefault(number, at)
        return found

    def error_of(self, number: int) -> dict[str, Any]:
        """Return the error of an event that has ended; nothing if it has none."""
        return self.results.get(number, {}).get("error") or {}

    def was_cancelled_for_a_parent(self, number: int) -> bool:
        """Return True if an event was cancelled since a parent did not meet its condition."""
        return bool(self.error_of(number).get("error") == "DependencyError")

    def chain(self, number: int) -> list[int]:
        """Return an event, and the events that continue it."""
        chain = [number]
        while (following := self.following.get(chain[-1])) is not None:
            chain.append(following)
        return chain

    def cancelled_with(self, number: int) -> set[int]:
        """Return the events that the cancel of an event may cancel."""
        chain = self.chain(number)
        parents = {edge.parent for edge in self.edges if edge.child in chain[1:]}
        return {*chain, *parents}


# -- what has to hold ------------------------------------------------------------------------------


@dataclass
class Broken:
    """What should not be.

    Attributes:
        forgotten: Children that have not ended, though their parents have.
        early: Children that ran before their parents had ended as required, or though they had not.
        continued: Continuations of attempts that are not on record, and those that are missing.
        unsound: What is said otherwise than the statuses of the parents say.
    """

    forgotten: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    continued: list[str] = field(default_factory=list)
    unsound: list[str] = field(default_factory=list)


def check(
    facts: Dependents, numbers: dict[str, int], finished: Collection[tuple[int, str, int]]
) -> Broken:
    """Hold children against their parents, and continuations against what they continue.

    Args:
        facts: What the tables say.
        numbers: The number of each event, by its id.
        finished: The number, the status and the attempt of each event that has ended.
    """
    broken = Broken()
    statuses = {number: status for number, status, _ in finished}
    _check_children(facts, numbers, statuses, broken)
    _check_continuations(facts, numbers, {n: (s, a) for n, s, a in finished}, broken)
    return broken


def _check_children(
    facts: Dependents, numbers: dict[str, int], statuses: dict[int, str], broken: Broken
) -> None:
    by_child: dict[int, list[Edge]] = defaultdict(list)
    for edge in facts.edges:
        by_child[edge.child].append(edge)
    for child, edges in by_child.items():
        parents = [edge.parent for edge in edges]
        if child not in statuses:
            if all(parent in statuses for parent in parents):
                broken.forgotten.append(
                    f"event {child} waits, and its parents {parents} have ended"
                )
            continue
        unmet = [edge.parent for edge in edges if not _is_met(facts, edge, statuses)]
        said = [edge for edge in edges if edge.met is not None and edge.parent in statuses]
        broken.unsound += [
            f"{edge} is not what the parent, {statuses[edge.parent]}, says"
            for edge in said
            if edge.met is (edge.parent in unmet)
        ]
        if facts.was_cancelled_for_a_parent(child):
            cause = facts.error_of(child).get("details", {}).get("parent")
            if numbers.get(str(cause)) not in unmet:
                broken.unsound.append(f"event {child} was cancelled for {cause}, not of {unmet}")
        elif (began := facts.claimed.get(child)) is not None:
            late = [each for each in parents if facts.ended.get(each, began) >= began]
            if late:
                broken.early.append(f"event {child} was claimed before the end of {late}")
            if unmet:
                broken.early.append(f"event {child} ran, and {unmet} do not meet its condition")
            if any(edge.met is None for edge in edges):
                broken.unsound.append(f"event {child} ran, and not all of {edges} are resolved")


def _is_met(facts: Dependents, edge: Edge, statuses: dict[int, str]) -> bool:
    """Return True if a parent has ended as its child requires."""
    if edge.parent not in statuses:
        return False
    error = facts.error_of(edge.parent)
    status = EventStatus(statuses[edge.parent])
    return is_met(edge.when, status, error.get("error"), error.get("message"))


def _check_continuations(
    facts: Dependents,
    numbers: dict[str, int],
    finished: dict[int, tuple[str, int]],
    broken: Broken,
) -> None:
    """A continuation is there exactly if its event has completed with it."""
    uids = {number: uid for uid, number in numbers.items()}
    made: dict[str, list[int]] = defaultdict(list)
    for number, origin in facts.origins.items():
        made[origin].append(number)
        uid, attempt = origin.split("/")
        if finished.get(numbers.get(uid, 0)) != ("completed", int(attempt)):
            broken.continued.append(f"event {number} is there, and {origin} is not on record")
    for number, (status, attempt) in finished.items():
        origin = f"{uids[number]}/{attempt}"
        if number not in facts.follows or status != "completed":
            if number in facts.following:
                broken.continued.append(f"event {number} is {status}, and was continued")
            continue
        following = facts.following.get(number)
        if following not in made[origin] or len(made[origin]) != facts.follows[number]:
            broken.continued.append(
                f"event {number} completed, and is continued by {following} of {made[origin]}"
            )
        elif uids[following] not in json.dumps(facts.results[number]):
            broken.continued.append(f"the response of event {number} is another than {following}")
