"""A batch: what shares a transaction. Each part of it is answered for itself.

Two kinds of step make up nearly all of a run, and have a place of their own: to take in an event
with nothing on record, and to put on record that an attempt completed. They are taken in one go
where nothing is in the way, and one after another where something is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import apsw

from ..intake import check_room
from ..sql.rows import PENDING, NewEventRow, QueuedAppend, QueuedCompletion
from .bulk import Bulk
from .entering import Append, Enter, exists
from .merging import claim_first
from .steps import Claim, LimitedStep, Settle, Step
from .transaction import Operation

__all__ = ("Answer", "Answers", "Batch")


class Answer(NamedTuple):
    """What a step gave, or why it did nothing."""

    value: Any
    error: Exception | None = None


class Answers(NamedTuple):
    """What came of a batch.

    Attributes:
        numbers: Of each entry, its number; or why it was not taken in.
        applied: Of each exit, whether its claim still held.
        steps: Of each step, its answer.
        left: Whether some of what was taken in may still wait.
        started: The numbers of what was started at once, by a claim that says so.
        idle: Whether nothing waits and nothing is claimed any more.
    """

    numbers: Sequence[int | Exception]
    applied: Sequence[bool]
    steps: Sequence[Answer]
    left: bool
    started: Collection[int]
    idle: bool


class Batch:
    """What is asked for while it fills.

    Attributes:
        entries: Events to take in.
        exits: Attempts that completed.
        steps: Anything else.
        answers: What came of it, once its transaction can be committed; None if that failed.
        is_answered: Whether its callers are being answered.
    """

    __slots__ = ("_untaken", "answers", "entries", "exits", "is_answered", "steps")

    def __init__(self) -> None:
        self.entries: list[QueuedAppend] = []
        self.exits: list[QueuedCompletion] = []
        self.steps: list[tuple[Step, Callable[[Any], Any] | None, Any]] = []
        self.answers: Answers | None = None
        self.is_answered = False
        self._untaken = [True]

    def take(self) -> bool:
        """Return True to the first caller, in any thread; it alone may end the transaction."""
        try:
            return self._untaken.pop()
        except IndexError:
            return False

    def __len__(self) -> int:
        return len(self.entries) + len(self.exits) + len(self.steps)

    def drop_cancelled(self) -> None:
        """Leave out appends whose callers were cancelled; called before the transaction begins."""
        self.entries = [one for one in self.entries if not one[2].cancelled()]
        self.steps = [
            one
            for one in self.steps
            if not (one[2].cancelled() and isinstance(one[0], Append | Enter))
        ]

    def is_plain(self) -> bool:
        """Whether it holds nothing but entries, exits, and claims of just the first that wait."""
        return all(isinstance(step, Claim) and step.is_plain for step, _, _ in self.steps)

    def takes_long(self, rows: Bulk) -> bool:
        """Whether one of its steps may take a second; asked outside of a transaction."""
        if not any(isinstance(step, Operation) and step.is_prune for step, _, _ in self.steps):
            return False
        try:
            return not rows.has_ordered_endings()
        except apsw.Error:  # who prunes is told, as it hinders the transaction too
            return False

    def perform_quickly(self, rows: Bulk) -> Answers | None:
        """As ``perform``, where it is plain; None if something is in the way: then undo this."""
        exits, fresh = [one[2] for one in self.exits], [one[1] for one in self.entries]
        try:
            if exits and not rows.complete(exits):
                return None
            glance = rows.glance()
            if not _fit(self.entries, glance.pending):
                return None
            numbers: Sequence[int] | None = rows.enter(fresh, glance.last) if fresh else ()
            if numbers is None:
                return None
            priorities = [one[4] for one in fresh]
            new = sorted(zip(priorities, numbers, strict=True), key=_first)  # numbers are in order
            steps = []
            for step, _, _ in self.steps:
                assert isinstance(step, Claim), "a plain batch has no other steps"
                claimed, new = claim_first(rows, step, new, glance)
                if claimed is None:
                    return None
                steps.append(Answer(claimed))
            rows.let_new_wait(new)
            started = _started(steps, numbers)
            left = bool(new)
        except apsw.Error:
            raise
        except Exception:  # of which event it was, shows when each is taken for itself
            return None
        return Answers(numbers, [True] * len(exits), steps, left, started, rows.write_counts())

    def perform(self, rows: Bulk) -> Answers:
        """Take every step: settlements first, claims last, so that what is freed can be claimed.

        Raises:
            apsw.Error: if the transaction as a whole cannot go on.
        """
        steps = [step for step, _, _ in self.steps]
        answers: dict[int, Answer] = {}
        _before(rows, steps, answers)
        applied = _exits(rows, self.exits)
        _settles(rows, steps, answers)
        numbers = _entries(rows, self.entries)
        for at in self.order():
            if at not in answers:
                answers[at] = _one(rows, steps[at])
        in_order = [answers[at] for at in range(len(steps))]
        return Answers(numbers, applied, in_order, True, (), rows.write_counts())

    def tell(self, answers: Answers) -> None:
        """All is committed: tell who waits, in order."""
        for (_, _, future, _), number in zip(self.entries, answers.numbers, strict=True):
            if isinstance(number, Exception):
                _fail(future, number)
            elif not future.done():
                future.set_result(None)
        for at in self.order():
            _, then, future = self.steps[at]
            value, error = _noted(then, answers.steps[at])
            if error is not None:
                _fail(future, error)
            elif not future.done():
                future.set_result(value)

    def fail(self, error: Callable[[Sequence[bytes]], Exception]) -> None:
        """Nothing of it was done: give each who waits an error of his own.

        Args:
            error: Makes the error; called with the ids of the events that were to be appended.
        """
        for _, fresh, future, _ in self.entries:
            _fail(future, error([fresh[0]]))
        for step, _, future in self.steps:
            _fail(future, error(step.ids if isinstance(step, Append | Enter) else ()))

    def order(self) -> list[int]:
        """The places of the steps in the order in which they are taken: claims last.

        They are noted and answered in it too: what is appended or sent back to wait, and claimed
        at once, is known here when its claim is, and observers hear of it before it starts.
        """
        return sorted(range(len(self.steps)), key=lambda at: _rank(self.steps[at][0]))


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    """Raise an error in the caller that waits for a future, if it still waits."""
    if not future.done():
        future.set_exception(error)


_first = itemgetter(0)


def _started(claims: Sequence[Answer], numbers: Sequence[int]) -> Collection[int]:
    """Of the numbers of what is new, those that were started at once: often all."""
    if sum(len(each.value.new) for each in claims) == len(numbers):
        return numbers
    return {number for each in claims for _, number in each.value.new}


def _rank(step: Step) -> int:
    return 0 if isinstance(step, Settle) else 2 if isinstance(step, Claim | LimitedStep) else 1


def _before(rows: Bulk, steps: Sequence[Step], answers: dict[int, Answer]) -> None:
    """Apply what attempts change of limits, before the settlements that end them."""
    spent = [
        (at, step) for at, step in enumerate(steps) if isinstance(step, Operation) and step.is_usage
    ]
    done = _together(rows, lambda: [_done(rows, step) for _, step in spent])
    answers |= {at: done[n] if done else _one(rows, step) for n, (at, step) in enumerate(spent)}


def _done(rows: Bulk, step: Operation) -> Answer:
    step(rows)
    return Answer(None)


def _exits(rows: Bulk, exits: Sequence[QueuedCompletion]) -> Sequence[bool]:
    if not exits:
        return ()
    columns = [one[2] for one in exits]
    if _together(rows, lambda: rows.complete(columns)):
        return [True] * len(exits)
    return [bool(_together(rows, partial(rows.complete, [one]))) for one in columns]


def _settles(rows: Bulk, steps: Sequence[Step], answers: dict[int, Answer]) -> None:
    settles = [(at, step) for at, step in enumerate(steps) if isinstance(step, Settle)]
    given = _together(rows, lambda: Settle.together(rows, [step for _, step in settles]))
    for at, (place, step) in enumerate(settles):
        answers[place] = Answer(given[at]) if given else _one(rows, step)


def _entries(rows: Bulk, entries: Sequence[QueuedAppend]) -> Sequence[int | Exception]:
    if not entries:
        return ()
    numbers: Sequence[int] | None = None
    if _fit(entries, rows.counts()[PENDING]):
        columns = [one[1] for one in entries]
        numbers = _together(rows, lambda: rows.insert_new(columns))
    return numbers or [_entry(rows, one[1], one[3]) for one in entries]


def _fit(entries: Sequence[QueuedAppend], waiting: int) -> bool:
    """Return True if no entry exceeds its queue limit, with so many waiting before them."""
    limits = [one[3] for one in entries if one[3] is not None]
    return not limits or waiting + len(entries) <= min(limits)


def _entry(rows: Bulk, one: NewEventRow, room: int | None) -> int | Exception:
    try:
        if room is not None and not rows.known([one[0]]):
            check_room(rows.counts()[PENDING], 1, room)
        numbers = _together(rows, lambda: rows.insert_new([one]))
    except apsw.Error:
        raise
    except Exception as error:
        return error
    if numbers:
        return int(numbers[0])
    return exists(rows, one[0])


def _together(rows: Bulk, work: Callable[[], Any]) -> Any:
    """What the work gives; if that is nothing, it is undone."""
    try:
        with rows.attempt():
            if not (given := work()):
                raise _InTheWay
            return given
    except _InTheWay:
        return None
    except apsw.Error:
        raise
    except Exception:  # which of several it was, shows when each is taken for itself
        return None


def _noted(then: Callable[[Any], Any] | None, answer: Answer) -> Answer:
    """Have the store note what is committed; the answer for who asked."""
    if answer.error is not None or then is None:
        return answer
    try:
        return Answer(then(answer.value))
    except Exception as error:
        return Answer(None, error)


class _InTheWay(Exception):
    """The steps cannot be taken in one go."""


def _one(rows: Bulk, step: Step) -> Answer:
    try:
        with rows.attempt():
            return Answer(step(rows))
    except apsw.Error:
        raise
    except Exception as error:
        return Answer(None, error)
