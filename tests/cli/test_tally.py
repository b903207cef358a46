"""Counting the steps of events: how many, how long, which run, and what went wrong."""

import pytest
from cli.steps import (
    ABORTED,
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    PROCESSING,
    Steps,
    Thing,
)

from lionpride.cli.tally import FIRST_FAILURES, Tally
from lionpride.errors import LionTimeoutError
from lionpride.rules.state_machine import cancelled_while_waiting


async def test_counts_follow_every_step():
    tally = Tally({})
    steps = Steps(tally)
    steps(Thing(), None, PENDING, PROCESSING, COMPLETED)
    steps(Thing(), None, PENDING, PENDING, PROCESSING, PENDING, PROCESSING, FAILED)
    steps(Thing(), None, PENDING, ABORTED)
    steps(Thing(), None, PENDING)
    steps(Thing(), None, PENDING, None)
    assert {k.value: v for k, v in tally.counts.items() if v} == {
        "completed": 1,
        "failed": 1,
        "aborted": 1,
        "pending": 1,
    }
    assert (tally.total, tally.settled, tally.failed) == (4, 3, 2)


async def test_what_runs_is_known_with_the_oldest_first():
    tally = Tally({})
    steps = Steps(tally)
    first, second = Thing(name="first"), Thing(name="second")
    steps(first, None, PENDING, PROCESSING)
    steps(second, None, PENDING, PROCESSING)
    assert [(at, event.name) for at, event in tally.oldest(5)] == [(1, "first"), (3, "second")]  # type: ignore[attr-defined]
    steps(first, PROCESSING, COMPLETED)
    assert [event.name for _, event in tally.oldest(5)] == ["second"]  # type: ignore[attr-defined]
    steps(second, PROCESSING, PENDING)
    assert list(tally.oldest(5)) == []


async def test_durations_are_those_of_the_last_attempt():
    tally = Tally({})
    Steps(tally)(Thing(), None, PENDING, PROCESSING, PENDING, PROCESSING, COMPLETED)
    assert list(tally.durations[COMPLETED]) == [1.0]


async def test_room_is_made_by_whatever_leaves_the_queue():
    tally = Tally({})
    steps, event = Steps(tally), Thing()
    steps(event, None, PENDING)
    assert not tally.room.is_set()
    steps(event, PENDING, CANCELLED)
    assert tally.room.is_set()


async def test_a_failure_is_noted_with_its_line_and_error():
    event = Thing(name="broken")
    tally = Tally({event.id: 7})
    event.execution.error = ValueError("no\nway")
    Steps(tally)(event, None, PENDING, PROCESSING, FAILED)
    (failure,) = tally.failures
    assert (failure.line, failure.label, failure.status) == (7, "broken", "failed")
    assert failure.error == "ValueError: no way"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError("a:\n b"), "ValueError: a: b"),
        (None, ""),
    ],
)
async def test_an_error_is_told_in_one_line(error, words):
    event, tally = Thing(), Tally({})
    event.execution.error = error
    Steps(tally)(event, None, PENDING, PROCESSING, FAILED)
    assert tally.failures[0].error == words


async def test_only_the_first_failures_are_kept():
    tally = Tally({})
    steps = Steps(tally)
    for i in range(FIRST_FAILURES + 3):
        steps(Thing(name=str(i)), None, PENDING, PROCESSING, CANCELLED)
    assert [failure.label for failure in tally.failures] == [str(i) for i in range(FIRST_FAILURES)]
    assert tally.failed == FIRST_FAILURES + 3


async def test_an_event_that_was_cancelled_by_hand_has_not_failed():
    tally = Tally({})
    steps, event, late = Steps(tally), Thing(), Thing()
    event.execution.error = cancelled_while_waiting().error
    late.execution.error = LionTimeoutError("took longer than its timeout of 1 s")
    steps(event, None, PENDING, CANCELLED)
    steps(late, None, PENDING, PROCESSING, CANCELLED)
    assert (tally.settled, tally.failed, tally.by_hand) == (2, 1, 1)
    assert [each.error for each in tally.failures] == [
        "LionTimeoutError: took longer than its timeout of 1 s"
    ]
    event.execution.error = ValueError("no")
    steps(event, CANCELLED, PENDING, PROCESSING, FAILED)
    assert (tally.settled, tally.failed, tally.by_hand) == (2, 2, 0)
    event.execution.error = cancelled_while_waiting().error
    steps(event, FAILED, PENDING, CANCELLED, None)
    assert (tally.settled, tally.failed, tally.by_hand) == (1, 1, 0)
