"""Dependencies between the events of a store in memory.

A child that waits for its parents is *blocked*: it is PENDING and due at infinity, so it is in no
queue. ``resolve_children`` says what the ending of a parent means for its children; the store
changes them. The edges of a child stay until it is removed, since a retry of a parent may block it
again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

from ...errors import DependencyError
from ...model.after import After, When
from ...model.event_data import EventData
from ...model.execution import TERMINAL, EventStatus
from ...rules.dependencies import cause_on_record, is_met

__all__ = ("Child", "Dependencies")

Edge: TypeAlias = tuple[int, int, When, bool | None]
"""The ``place`` of a Relative, the number of the event, the condition, and ``is_met``."""


class Child:
    """The dependencies of one event.

    Attributes:
        event: The event.
        parents: The numbers of its parents in the order of the append; 0 for one that is gone, or
            that has the same continuation as one before it.
        met: For each parent whose ending counts: True if it meets the condition.
        missing: The number of parents whose ending does not meet the condition yet.
        cancelled_by: The number of the parent for which the event was cancelled; 0 for one that was
            gone when the event was loaded.
    """

    __slots__ = ("cancelled_by", "event", "met", "missing", "parents")

    def __init__(self, event: EventData, parents: Sequence[int]) -> None:
        self.event = event
        self.parents = _each_once(parents)
        self.met: dict[int, bool] = {}
        self.missing = 0
        self.cancelled_by: int | None = None

    @property
    def after(self) -> After:
        """The parents and the condition given at the append."""
        after = self.event.execution.after
        assert after is not None, "a child has parents"
        return after

    @property
    def is_blocked(self) -> bool:
        """True while the event waits for its parents."""
        return self.event.execution.is_blocked

    @property
    def is_finished(self) -> bool:
        """True if the event has finished."""
        return self.event.execution.status in TERMINAL

    def unmet_parent(self) -> int | None:
        """Return a parent whose ending does not meet the condition; the present cause first."""
        unmet = [parent for parent, is_met in self.met.items() if not is_met]
        if self.cancelled_by in unmet:
            return self.cancelled_by
        return unmet[0] if unmet else None

    def resolve(self, parent: int, is_met: bool) -> bool | None:
        """Note the ending of a parent.

        Returns:
            True if the event is to be released, False if it is to be cancelled; None if it still
            waits, or waits no more.
        """
        self.met[parent] = is_met
        self.missing -= is_met
        if not self.is_blocked or self.cancelled_by is not None:
            return None
        if not is_met:
            self.cancelled_by = parent
            return False
        return True if self.missing == 0 else None


class Dependencies:
    """The parents and children of the events of a store.

    Args:
        events: The events of the store, by number.

    Attributes:
        children: The children of each event that has any, by its number, and by theirs.
        by_number: The events that were appended with parents, by number.
    """

    def __init__(self, events: Mapping[int, EventData]) -> None:
        self._events = events
        self.children: dict[int, dict[int, Child]] = {}
        self.by_number: dict[int, Child] = {}

    def add(self, event: EventData, parents: Sequence[int]) -> None:
        """Add an event that was appended with parents.

        Args:
            event: The event.
            parents: Their numbers, in the order of the append; 0 for one that is not here.
        """
        number = _number(event)
        child = self.by_number[number] = Child(event, parents)
        child.cancelled_by = _cause_on_record(event, parents)
        for parent in child.parents:
            if parent:
                self.children.setdefault(parent, {})[number] = child
                child.missing += 1

    def drop(self, number: int) -> None:
        """Forget an event that is removed."""
        child = self.by_number.pop(number, None)
        for parent in () if child is None else child.parents:
            siblings = self.children.get(parent, {})
            siblings.pop(number, None)
            if not siblings:
                self.children.pop(parent, None)
        for child in self.children.pop(number, {}).values():
            child.missing -= not child.met.pop(number, False)

    # -- endings -----------------------------------------------------------------------------

    def resolve_finished_parents(self, event: EventData) -> bool | None:
        """Resolve those parents of a new child that have finished; see ``Child.resolve``."""
        child = self.by_number[_number(event)]
        answer: bool | None = None
        for parent in child.parents:
            held = self._events.get(parent)
            if held is None or parent in child.met or held.execution.status not in TERMINAL:
                continue
            resolved = child.resolve(parent, _meets(held, child.after.when))
            answer = resolved if answer is None else answer
        return answer

    def resolve_children(self, number: int) -> list[tuple[int, bool]]:
        """Return the blocked children whose fate the ending of an event decides.

        Args:
            number: The number of the event.

        Returns:
            The number of each child: with True if it is to be released, with False if it is to be
            cancelled. Nothing, if the event has not finished.
        """
        decided: list[tuple[int, bool]] = []
        meets: dict[When, bool] = {}
        parent, children = self._events[number], self.children.get(number)
        if children is None or parent.execution.status not in TERMINAL:
            return decided
        for child_number, child in children.items():
            if number in child.met:
                continue  # an earlier ending of the parent has released it
            when = child.after.when
            if when not in meets:
                meets[when] = _meets(parent, when)
            answer = child.resolve(number, meets[when])
            if answer is not None:
                decided.append((child_number, answer))
        return decided

    def follow(self, number: int, following: int) -> list[EventData]:
        """Let the children of an event that do not know its ending wait for another event.

        Returns:
            The children.
        """
        moved = [
            (child_number, child)
            for child_number, child in self.children.get(number, {}).items()
            if number not in child.met
        ]
        for child_number, child in moved:
            del self.children[number][child_number]
            if following in child.parents:
                child.missing -= 1
            child.parents = _each_once(
                [following if each == number else each for each in child.parents]
            )
            self.children.setdefault(following, {})[child_number] = child
        if moved and not self.children[number]:
            del self.children[number]
        return [child.event for _, child in moved]

    def waiting_for(self, number: int) -> set[int]:
        """Return the numbers of an event, and of those that wait for it, directly or not."""
        waiting, left = {number}, [number]
        for each in left:  # it grows
            for child_number, child in self.children.get(each, {}).items():
                if child_number not in waiting and each not in child.met and child.is_blocked:
                    waiting.add(child_number)
                    left.append(child_number)
        return waiting

    def cause_of(self, number: int) -> tuple[EventData, When]:
        """Return the parent for which an event is to be cancelled, and the condition."""
        child = self.by_number[number]
        assert child.cancelled_by is not None, "a parent has not met the condition"
        return self._events[child.cancelled_by], child.after.when

    # -- retry -------------------------------------------------------------------------------

    def wait_again(self, numbers: Collection[int]) -> dict[int, None]:
        """Have children wait again for parents that are retried.

        An event that was cancelled for one of them waits again, and so on for its children, unless
        another parent does not meet the condition either. Then it stays CANCELLED for that one.

        Args:
            numbers: The events that are retried.

        Returns:
            The finished events that wait again; the others of ``numbers`` do not wait.
        """
        again: dict[int, None] = {}
        unfinished = list(dict.fromkeys(numbers))
        known = set(unfinished)
        for number in unfinished:  # it grows
            for child_number, child in self.children.get(number, {}).items():
                if child_number in again or child.is_blocked:
                    child.missing += child.met.pop(number, False)
                elif child.cancelled_by is not None:
                    child.missing += child.met.pop(number, False)
                    child.cancelled_by = child.unmet_parent()
                    if child.cancelled_by is None:
                        self._forget_removed_parents(child)
                        again[child_number] = None
                        unfinished += () if child_number in known else (child_number,)
                        known.add(child_number)
        for number in numbers:
            if number in self.by_number:
                self.by_number[number].cancelled_by = None
        return again

    def _forget_removed_parents(self, child: Child) -> None:
        """Leave out removed parents: a copy of a blocked event is refused if one is unknown."""
        pairs = zip(child.after.parents, child.parents, strict=True)
        left = [(uid, number) for uid, number in pairs if number in self.children]
        child.event.execution.after = child.after._replace(parents=tuple(uid for uid, _ in left))
        child.parents = tuple(number for _, number in left)

    # -- removal -----------------------------------------------------------------------------

    def unfinished_child(self, number: int, besides: Collection[int] = ()) -> EventData | None:
        """Return a child of an event that has not finished; None if there is none.

        Args:
            number: The number of the event.
            besides: The numbers of children that do not count.
        """
        for child_number, child in self.children.get(number, {}).items():
            if child_number not in besides and not child.is_finished:
                return child.event
        return None

    # -- queries -----------------------------------------------------------------------------

    def blockers(self, number: int) -> list[int]:
        """Return the numbers of the parents that a blocked event waits for, in their order."""
        child = self.by_number.get(number)
        if child is None or not child.is_blocked:
            return []
        return [each for each in child.parents if each in self.children and each not in child.met]

    def parents(self, number: int, first: int = 0, limit: int | None = None) -> Iterator[Edge]:
        """Yield the parents of an event that are still here, from a place on."""
        child = self.by_number.get(number)
        places = range(first, 0 if child is None else len(child.parents))
        here = (place for place in places if child and child.parents[place] in self.children)
        for place in islice(here, limit):
            assert child is not None, "it has parents"
            parent = child.parents[place]
            yield place, parent, child.after.when, child.met.get(parent)

    def children_of(self, number: int, first: int, limit: int) -> Iterator[Edge]:
        """Yield the children of an event, from a number on; they were added in this order."""
        children = self.children.get(number, {}).items()
        later = ((at, child) for at, child in children if at >= first)
        for at, child in islice(later, limit):
            yield at, at, child.after.when, child.met.get(number)


def _each_once(numbers: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers with 0 for each repeat, so that every parent keeps its place."""
    known: set[int] = set()
    places = []
    for number in numbers:
        places.append(0 if number in known else number)
        known.add(number)
    return tuple(places)


def _number(event: EventData) -> int:
    number = event.execution.arrival
    assert number is not None, "the store has it"
    return number


def _meets(parent: EventData, when: When) -> bool:
    """Return True if a finished event meets a condition."""
    state = parent.execution
    status, error = state.status, state.error
    if not isinstance(error, BaseException):
        return is_met(when, status, None, None)
    return is_met(when, status, type(error).__name__, str(error))


def _cause_on_record(event: EventData, parents: Sequence[int]) -> int | None:
    """Return the parent for which an event was cancelled before it was loaded; 0 if it is gone."""
    state = event.execution
    if state.status is not EventStatus.CANCELLED or not isinstance(state.error, DependencyError):
        return None
    return cause_on_record(state.after, state.error.details.get("parent"), parents)
