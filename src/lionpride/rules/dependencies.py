"""Dependencies: which ending of a parent meets a condition, and which parents form a cycle.

=============================================  ===========  ========  ==========
ending of the parent                           completed    failed    finished
=============================================  ===========  ========  ==========
COMPLETED, SKIPPED                             met          not met   met
FAILED, ABORTED                                not met      met       met
CANCELLED: timeout, ttl, its own code          not met      met       met
CANCELLED: by a person, or for its parents     not met      not met   met
=============================================  ===========  ========  ==========
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from ..errors import DependencyError, ValidationError
from ..model.after import After, When
from ..model.execution import EventStatus
from .state_machine import RETRYABLE, Ending, is_by_hand

__all__ = (
    "after_removal",
    "after_unmet",
    "cause_on_record",
    "check_acyclic",
    "continuation_cycle",
    "is_cancelled_for_parent",
    "is_met",
    "keeps_parents",
)

_S = EventStatus
_COMPLETED: Final = frozenset({_S.COMPLETED, _S.SKIPPED})
_FAILED: Final = frozenset({_S.FAILED, _S.ABORTED})

_NAMED: Final = 8
"""Number of the events of a cycle that an error names."""


def is_met(when: When, status: EventStatus, error: str | None, message: str | None) -> bool:
    """Return True if the ending of a parent meets a condition.

    Args:
        when: The condition.
        status: The final status of the parent.
        error: The name of the class of its error; None without an error.
        message: The message of its error.
    """
    if when == "finished":
        return True
    if when == "completed":
        return status in _COMPLETED
    if status is not _S.CANCELLED:
        return status in _FAILED
    return error != DependencyError.__name__ and not is_by_hand(status, error, message)


def after_unmet(parent: UUID, kind: str, status: EventStatus, when: When) -> Ending:
    """Return the outcome for an event that cannot start any more: a parent does not allow it.

    Args:
        parent: The id of the parent.
        kind: The registry key of its class.
        status: Its final status.
        when: The condition that is not met.
    """
    remedy = "executor.retry(parent) makes both wait again"
    if status not in RETRYABLE:
        remedy = f"a {status.value} event cannot be retried; executor.retry(event) runs this one"
    error = DependencyError(
        f"not run: its parent {kind} {parent} is {status.value}, and it waits for one that has "
        f"{when}; {remedy}",
        details={"parent": str(parent)},
    )
    return Ending(_S.CANCELLED, error=error, retryable=True)


def is_cancelled_for_parent(status: EventStatus, error: str | None) -> bool:
    """Return True if an event was cancelled for a parent.

    Args:
        status: Its status.
        error: The name of the class of its error; None without an error.
    """
    return status is _S.CANCELLED and error == DependencyError.__name__


def keeps_parents(is_blocked: bool, status: EventStatus, error: str | None) -> bool:
    """Return True if a copy of an event has its parents: it waits, or was cancelled for one.

    Args:
        is_blocked: True if the event waits for its parents.
        status: Its status.
        error: The name of the class of its error; None without an error.
    """
    return is_blocked or is_cancelled_for_parent(status, error)


def cause_on_record(after: After | None, parent: object, numbers: Sequence[int]) -> int:
    """Return the number of the parent for which an event was cancelled; 0 if it is gone.

    Args:
        after: The parents of the event.
        parent: What its error names as the parent.
        numbers: The numbers of the parents in their order; 0 for one that is gone.
    """
    ids = () if after is None else map(str, after.parents)
    return dict(zip(ids, numbers, strict=True)).get(str(parent), 0)


def after_removal() -> Ending:
    """Return the outcome for an event whose parent was removed while it was appended."""
    error = DependencyError(
        "not run: a parent was removed while the event was appended; append it again without that "
        "parent"
    )
    return Ending(_S.CANCELLED, error=error, retryable=True)


def check_acyclic(after: Mapping[UUID, After]) -> None:
    """Check that no event of a batch waits for itself, directly or through others.

    An append forms a cycle only within its batch, since an existing event cannot gain parents. A
    continuation may form one with existing events: see ``continuation_cycle``.

    Raises:
        ValidationError: if one does; the message names the events of the cycle.
    """
    numbers = {uid: number for number, uid in enumerate(after)}
    parents = [[numbers[uid] for uid in each.parents if uid in numbers] for each in after.values()]
    children: list[list[int]] = [[] for _ in parents]
    for child, its_parents in enumerate(parents):
        for parent in its_parents:
            children[parent].append(child)
    waiting = list(map(len, parents))  # the number of parents that are not ordered yet
    ordered = [number for number, count in enumerate(waiting) if not count]
    for number in ordered:  # it grows
        for child in children[number]:
            waiting[child] -= 1
            if not waiting[child]:
                ordered.append(child)
    if len(ordered) < len(waiting):  # each of the others has a parent among them
        number = next(number for number, count in enumerate(waiting) if count)
        path: dict[int, None] = {}
        while number not in path:
            path[number] = None
            number = next(parent for parent in parents[number] if waiting[parent])
        uids, cycle = list(after), list(path)
        raise _cycle([uids[each] for each in [*cycle[cycle.index(number) :], number]])


def continuation_cycle(parent: UUID) -> ValidationError:
    """Return the error for a continuation of an event that would wait for itself.

    What waits for an event waits for its continuation.

    Args:
        parent: The parent of the continuation: the event itself, or one that waits for it.
    """
    return ValidationError(
        f"after: the continuation would wait for {parent}, which waits for this event, and so for "
        "the continuation: leave this parent out"
    )


def _cycle(events: list[UUID]) -> ValidationError:
    """Return the error for events of which each waits for the next."""
    names = [str(each) for each in events]
    if len(names) > _NAMED:
        names = [*names[: _NAMED - 1], f"... ({len(names) - _NAMED:,} more)", names[-1]]
    return ValidationError(
        f"after: these events wait for each other in a cycle: {' -> '.join(names)}: remove one of "
        "the dependencies"
    )
