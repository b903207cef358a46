"""A batch of steps in one transaction: each is answered for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import apsw

from .rows import Rows
from .steps import Append, Claim, Settle, Step

__all__ = ("Answer", "perform")


class Answer(NamedTuple):
    """What a step gave, or why it did nothing."""

    value: Any
    error: Exception | None = None


def perform(rows: Rows, steps: Sequence[Step]) -> dict[int, Answer]:
    """Take every step: settlements first, claims last, so that what is freed can be claimed.

    Returns:
        The answers by the steps' places, in the order in which they were taken.

    Raises:
        apsw.Error: if the transaction as a whole cannot go on.
    """
    answers: dict[int, Answer] = {}
    settles = [(at, step) for at, step in enumerate(steps) if isinstance(step, Settle)]
    _all(rows, settles, Settle.together, answers)
    appends = [(at, step) for at, step in enumerate(steps) if isinstance(step, Append)]
    _all(rows, [each for each in appends if each[1].is_plain()], Append.together, answers)
    rest = [(at, step) for at, step in enumerate(steps) if at not in answers]
    for at, step in sorted(rest, key=lambda each: isinstance(each[1], Claim)):
        answers[at] = _one(rows, step)
    return answers


def _all(
    rows: Rows,
    steps: Sequence[tuple[int, Any]],
    together: Callable[[Rows, Sequence[Any]], list[Any] | None],
    answers: dict[int, Answer],
) -> None:
    """Take steps of a kind in one go; if one is in the way, they are left to be taken singly."""
    if not steps:
        return
    try:
        with rows.attempt():
            given = together(rows, [step for _, step in steps])
            if given is None:
                raise _InTheWay
    except apsw.Error:
        raise
    except Exception:  # which of them it was, shows when each is taken for itself
        return
    answers.update({at: Answer(value) for (at, _), value in zip(steps, given, strict=True)})


class _InTheWay(Exception):  # noqa: N818  (named for what it says)
    """The steps cannot be taken in one go."""


def _one(rows: Rows, step: Step) -> Answer:
    try:
        with rows.attempt():
            return Answer(step(rows))
    except apsw.Error:
        raise
    except Exception as error:
        return Answer(None, error)
