"""The arrows, all of them, and what each ending of an attempt means."""

import asyncio
import re
from copy import copy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionpride.errors import (
    AccessError,
    EventCancelledError,
    ExecutionError,
    LionprideError,
    LionTimeoutError,
    OperationError,
    QueueFullError,
    RateLimited,
    Skip,
    ValidationError,
)
from lionpride.model.event_data import EventData
from lionpride.model.execution import TERMINAL, EventStatus, Execution
from lionpride.model.unset import Unset
from lionpride.rules import state_machine
from lionpride.rules.state_machine import (
    MAX_DENIALS,
    MAX_INTERRUPTIONS,
    RELEASED,
    RETRYABLE,
    TRANSITIONS,
    Cause,
    Completion,
    Ending,
    Outcome,
    after_denial,
    after_error,
    after_interruption,
    alone,
    apply,
    cancelled_while_waiting,
    check,
    check_retryable,
    is_retryable,
    requeue,
)

S = EventStatus

TABLE = """
from \\ to   pending processing completed failed cancelled skipped aborted
pending        yes      yes        no      yes     yes      yes     yes
processing     yes      no         yes     yes     yes      yes     no
completed      no       no         no      no      no       no      no
failed         yes      no         no      no      no       no      no
cancelled      yes      no         no      no      no       no      no
skipped        no       no         no      no      no       no      no
aborted        yes      no         no      no      no       no      no
"""


def rows() -> list[tuple[EventStatus, EventStatus, bool]]:
    head, *lines = TABLE.strip().splitlines()
    columns = [S(name) for name in head.split()[3:]]
    return [
        (S(before), after, answer == "yes")
        for before, *answers in map(str.split, lines)
        for after, answer in zip(columns, answers, strict=True)
    ]


every_pair = pytest.mark.parametrize(("before", "after", "arrow"), rows())
ARROWS_DRAWN = {(before, after) for before, after, arrow in rows() if arrow}


def outcome_to(status: EventStatus) -> Outcome:
    return Completion("done", 0.5) if status is S.COMPLETED else Ending(status)


# -- the table -------------------------------------------------------------------------------------


def test_the_table_asks_for_every_pair() -> None:
    pairs = [(before, after) for before, after, _ in rows()]
    assert len(pairs) == len(set(pairs)) == len(EventStatus) ** 2
    assert set(TRANSITIONS) == set(EventStatus)


@every_pair
def test_an_arrow_leads_there_or_not(before: EventStatus, after: EventStatus, arrow: bool) -> None:
    assert (after in TRANSITIONS[before]) is arrow
    if arrow:
        check(before, after)
        return
    with pytest.raises(OperationError) as caught:
        check(before, after)
    said = str(caught.value)
    assert before.value in said
    assert after.value in said
    for way in TRANSITIONS[before]:
        assert way.value in said, "it says where the arrows lead"


@every_pair
def test_an_outcome_is_applied_along_an_arrow_or_changes_nothing(
    before: EventStatus, after: EventStatus, arrow: bool
) -> None:
    state = Execution(status=before, response=1, duration=2.0, retryable=True, attempt=3)
    was = copy(state)
    if arrow:
        apply(state, outcome_to(after))
        assert state.status is after
    else:
        with pytest.raises(OperationError):
            apply(state, outcome_to(after))
        assert state == was
    assert state.attempt == 3, "only a claim counts attempts"


def test_terminal_is_final_but_for_a_retry_by_hand() -> None:
    assert set(EventStatus) - TERMINAL == {S.PENDING, S.PROCESSING}
    for status in TERMINAL:
        assert TRANSITIONS[status] == ({S.PENDING} if status in RETRYABLE else set())


# -- the picture -----------------------------------------------------------------------------------

WORDS = re.compile(r"\b[A-Z]{4,}\b")


def picture() -> list[str]:
    text = state_machine.__doc__ or ""
    return text.split("::", 1)[1].split("\nA terminal", 1)[0].splitlines()


def word_at(line: str, column: int) -> EventStatus:
    (found,) = [each for each in WORDS.finditer(line) if each.start() <= column <= each.end()]
    return S(found[0].lower())


def drawn() -> set[tuple[EventStatus, EventStatus]]:
    """The arrows of the picture, read as a person reads it."""
    lines = picture()
    (main,) = [line for line in lines if "(append)" in line]
    stages = [[S(w.lower()) for w in WORDS.findall(part)] for part in main.split("-->")[1:]]
    arrows = {
        (one, other) for before, after in pairwise(stages) for one in before for other in after
    }
    below = lines[lines.index(main) + 1 :]
    (loop,) = [line for line in below if re.search(r"\+-+\+", line)]
    left, right = (match.start() for match in re.finditer(r"\+", loop))
    assert below[0][left] == "^"
    assert below[0][right] == "|"
    arrows.add((word_at(main, right), word_at(main, left)))
    branch = next(number for number, line in enumerate(below) if "+-->" in line)
    start = word_at(main, below[branch].index("+"))
    arrows |= {(start, S(word.lower())) for line in below[branch:] for word in WORDS.findall(line)}
    above = lines[: lines.index(main)]
    assert word_at(main, above[-1].index("v")) is S.PENDING
    assert "requeued" in " ".join(above)
    return arrows | {(status, S.PENDING) for status in RETRYABLE}


def test_the_picture_shows_every_arrow_and_no_other() -> None:
    assert drawn() == ARROWS_DRAWN


# -- what an outcome writes ------------------------------------------------------------------------


def test_a_completion_writes_its_response_and_clears_what_went_wrong() -> None:
    state = Execution(status=S.PROCESSING, error=ValueError(), retryable=True, tries=1)
    apply(state, Completion("done", 0.5))
    assert (state.status, state.response, state.duration) == (S.COMPLETED, "done", 0.5)
    assert (state.error, state.retryable) == (None, False)
    assert state.tries == 1


def test_an_ending_writes_all_it_says_and_adds_to_the_counters() -> None:
    state = Execution(status=S.PROCESSING, tries=1, denials=2, interruptions=3)
    error = ValueError()
    apply(
        state,
        Ending(S.FAILED, response=[1], error=error, duration=0.5, retryable=True, tries=1),
    )
    assert (state.response, state.error) == ([1], error)
    assert (state.duration, state.retryable) == (0.5, True)
    assert (state.tries, state.denials, state.interruptions) == (2, 2, 3)


@pytest.mark.parametrize("before", [S.PENDING, S.PROCESSING])
def test_a_release_changes_nothing_else(before: EventStatus) -> None:
    state = Execution(status=before, error=ValueError(), duration=0.5, tries=1, denials=2, due=7.0)
    was = copy(state)
    apply(state, RELEASED)
    was.status = S.PENDING
    assert state == was


@pytest.mark.parametrize("status", EventStatus)
def test_requeue_takes_what_can_be_retried(status: EventStatus) -> None:
    state = Execution(
        status=status,
        error=ValueError(),
        response=1,
        duration=1.0,
        retryable=False,
        attempt=4,
        tries=1,
        denials=2,
        interruptions=3,
        priority=5.0,
        due=6.0,
    )
    was = copy(state)
    if status not in RETRYABLE:
        for refuse in (check_retryable, requeue):
            with pytest.raises(OperationError, match=status.value):
                refuse(state)
        assert state == was
        return
    check_retryable(state)
    assert state == was
    requeue(state)
    assert state == Execution(attempt=4, priority=5.0), "only its attempts and its place are kept"


def test_cancelled_while_waiting() -> None:
    state = Execution(denials=1)
    apply(state, cancelled_while_waiting())
    assert state.status is S.CANCELLED
    assert isinstance(state.error, EventCancelledError)
    assert (state.retryable, state.tries, state.denials) == (True, 0, 1)


@given(st.lists(st.sampled_from([*EventStatus])))
def test_no_history_leaves_the_table(wishes: list[EventStatus]) -> None:
    state = Execution()
    path = [state.status]
    for status in wishes:
        try:
            apply(state, outcome_to(status))
        except OperationError:
            assert state.status is path[-1]
        else:
            path.append(state.status)
    assert set(pairwise(path)) <= ARROWS_DRAWN


# -- decisions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("denials", "status", "delay"),
    [(0, S.PENDING, 2.0), (1, S.PENDING, 4.0), (2, S.ABORTED, None), (7, S.ABORTED, None)],
)
def test_after_a_denial(denials: int, status: EventStatus, delay: float | None) -> None:
    found = after_denial(denials, 2.0)
    assert MAX_DENIALS == 3
    assert (found.status, found.delay, found.denials) == (status, delay, 1)
    assert (found.tries, found.interruptions) == (0, 0), "F5: a denial uses up no try"
    if status is S.ABORTED:
        assert isinstance(found.error, AccessError)
        assert found.retryable is False
        assert "3 times" in str(found.error)
    else:
        assert found.error is Unset


def test_after_a_denial_with_another_maximum() -> None:
    assert after_denial(0, 2.0, maximum=1).status is S.ABORTED
    assert [after_denial(n, 1.0, maximum=5).status for n in (3, 4)] == [S.PENDING, S.ABORTED]
    assert after_denial(0, 0.0).delay == 0.0


@pytest.mark.parametrize(
    ("interruptions", "status"),
    [(0, S.PENDING), (19, S.PENDING), (20, S.FAILED), (21, S.FAILED)],
)
def test_after_an_interruption(interruptions: int, status: EventStatus) -> None:
    found = after_interruption(interruptions)
    assert MAX_INTERRUPTIONS == 20
    assert (found.status, found.interruptions) == (status, 1)
    assert (found.tries, found.denials, found.delay) == (0, 0, None)
    if status is S.FAILED:
        assert isinstance(found.error, ExecutionError)
        assert found.retryable is False
    assert after_interruption(1, maximum=1).status is S.FAILED
    assert after_interruption(0, maximum=1).status is S.PENDING


PLAIN = ValueError("no")
GROUP = ExceptionGroup("two", [ValueError(), QueueFullError()])
FINAL_GROUP = ExceptionGroup("two", [ValueError(), ValidationError()])
STOPPED = asyncio.CancelledError()

ERRORS: list[tuple[str, BaseException, Cause | None, tuple[Any, ...]]] = [
    # what came out, why the engine had cancelled it -> status, error, retryable, tries
    ("an exception", PLAIN, None, (S.FAILED, PLAIN, True, 1)),
    ("its own TimeoutError", TimeoutError(), None, (S.FAILED, TimeoutError, True, 1)),
    ("ours, final", ValidationError(), None, (S.FAILED, ValidationError, False, 1)),
    ("ours, not final", QueueFullError(), None, (S.FAILED, QueueFullError, True, 1)),
    ("a group", GROUP, None, (S.FAILED, GROUP, True, 1)),
    ("a group with a final one", FINAL_GROUP, None, (S.FAILED, FINAL_GROUP, False, 1)),
    ("an exit", SystemExit(3), None, (S.FAILED, SystemExit, True, 1)),
    ("Skip", Skip("done"), None, (S.SKIPPED, Skip, False, 0)),
    ("a cancellation of its own", STOPPED, None, (S.CANCELLED, STOPPED, True, 1)),
    ("timed out", STOPPED, Cause.TIMEOUT, (S.CANCELLED, LionTimeoutError, True, 1)),
    ("timed out, then raised", PLAIN, Cause.TIMEOUT, (S.CANCELLED, LionTimeoutError, True, 1)),
    ("timed out, then Skip", Skip(), Cause.TIMEOUT, (S.CANCELLED, LionTimeoutError, True, 1)),
    ("cancelled", STOPPED, Cause.CANCEL, (S.CANCELLED, EventCancelledError, True, 0)),
    ("cancelled, then raised", PLAIN, Cause.CANCEL, (S.CANCELLED, EventCancelledError, True, 0)),
    ("interrupted", STOPPED, Cause.INTERRUPT, (S.PENDING, Unset, Unset, 0)),
    ("interrupted, then raised", PLAIN, Cause.INTERRUPT, (S.PENDING, Unset, Unset, 0)),
    ("interrupted, then Skip", Skip(), Cause.INTERRUPT, (S.PENDING, Unset, Unset, 0)),
]


@pytest.mark.parametrize(
    ("error", "cause", "expected"),
    [pytest.param(*row[1:], id=row[0]) for row in ERRORS],
)
def test_after_an_error(
    error: BaseException, cause: Cause | None, expected: tuple[Any, ...]
) -> None:
    event = EventData(timeout=1.5)
    found = after_error(event, error, cause, isinstance(error, asyncio.CancelledError))
    status, kind, retryable, tries = expected
    assert (found.status, found.retryable, found.tries) == (status, retryable, tries)
    if isinstance(kind, type):
        assert isinstance(found.error, kind)
    else:
        assert found.error is kind
    assert found.interruptions == (1 if cause is Cause.INTERRUPT else 0)
    assert (found.denials, found.delay) == (0, None)
    if cause in (Cause.TIMEOUT, Cause.CANCEL):
        assert isinstance(found.error, LionprideError)
        assert found.error.__cause__ is error, "what came out is not lost"
    if cause is Cause.TIMEOUT:
        assert "1.5 s" in str(found.error)
    apply(Execution(status=S.PROCESSING), found)


def test_one_interruption_too_many_fails_the_event() -> None:
    event = EventData(execution=Execution(interruptions=MAX_INTERRUPTIONS))
    found = after_error(event, STOPPED, Cause.INTERRUPT, True)
    assert (found.status, found.tries, found.interruptions) == (S.FAILED, 0, 1)


def test_a_group_can_be_retried_if_all_of_it_can() -> None:
    deep = ExceptionGroup("outer", [GROUP, ExceptionGroup("inner", [ValidationError()])])
    assert is_retryable(GROUP)
    assert not is_retryable(deep)
    assert is_retryable(ValidationError(retryable=True)), "an error says so itself"


def test_a_service_that_says_too_many_costs_no_try() -> None:
    error = RateLimited(retry_after=20.0)
    ending = after_error(EventData(), error, None, cancelled=False)
    assert (ending.status, ending.delay, ending.error) == (S.PENDING, 20.0, error)
    assert (ending.tries, ending.denials, ending.interruptions) == (0, 0, 0)


def test_nobody_runs_an_event_again_that_runs_alone() -> None:
    error = RateLimited()
    ending = alone(after_error(EventData(), error, None, cancelled=False))
    assert (ending.status, ending.error, ending.retryable) == (S.FAILED, error, True)
    done = Completion("done", 1.0)
    assert alone(done) is done
