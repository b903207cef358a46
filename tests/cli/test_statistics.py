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

from lionpride.cli.output.statistics import FIRST_FAILURES, Statistics
from lionpride.errors import LionTimeoutError
from lionpride.rules.state_machine import cancelled_while_waiting


async def test_counts_follow_every_step():
    statistics = Statistics({})
    steps = Steps(statistics)
    steps(Thing(), None, PENDING, PROCESSING, COMPLETED)
    steps(Thing(), None, PENDING, PENDING, PROCESSING, PENDING, PROCESSING, FAILED)
    steps(Thing(), None, PENDING, ABORTED)
    steps(Thing(), None, PENDING)
    steps(Thing(), None, PENDING, None)
    assert {k.value: v for k, v in statistics.counts.items() if v} == {
        "completed": 1,
        "failed": 1,
        "aborted": 1,
        "pending": 1,
    }
    assert (statistics.total, statistics.settled, statistics.failed) == (4, 3, 2)


async def test_what_runs_is_known_with_the_oldest_first():
    statistics = Statistics({})
    steps = Steps(statistics)
    first, second = Thing(name="first"), Thing(name="second")
    steps(first, None, PENDING, PROCESSING)
    steps(second, None, PENDING, PROCESSING)
    assert [(at, event.name) for at, event in statistics.oldest(5)] == [(1, "first"), (3, "second")]  # type: ignore[attr-defined]
    steps(first, PROCESSING, COMPLETED)
    assert [event.name for _, event in statistics.oldest(5)] == ["second"]  # type: ignore[attr-defined]
    steps(second, PROCESSING, PENDING)
    assert list(statistics.oldest(5)) == []


async def test_durations_are_those_of_the_last_attempt():
    statistics = Statistics({})
    Steps(statistics)(Thing(), None, PENDING, PROCESSING, PENDING, PROCESSING, COMPLETED)
    assert list(statistics.durations[COMPLETED]) == [1.0]


async def test_room_is_made_by_whatever_leaves_the_queue():
    statistics = Statistics({})
    steps, event = Steps(statistics), Thing()
    steps(event, None, PENDING)
    assert not statistics.room.is_set()
    steps(event, PENDING, CANCELLED)
    assert statistics.room.is_set()


async def test_a_failure_is_noted_with_its_line_and_error():
    event = Thing(name="broken")
    statistics = Statistics({event.id: 7})
    event.execution.error = ValueError("no\nway")
    Steps(statistics)(event, None, PENDING, PROCESSING, FAILED)
    (failure,) = statistics.failures
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
    event, statistics = Thing(), Statistics({})
    event.execution.error = error
    Steps(statistics)(event, None, PENDING, PROCESSING, FAILED)
    assert statistics.failures[0].error == words


async def test_only_the_first_failures_are_kept():
    statistics = Statistics({})
    steps = Steps(statistics)
    for i in range(FIRST_FAILURES + 3):
        steps(Thing(name=str(i)), None, PENDING, PROCESSING, CANCELLED)
    labels = [failure.label for failure in statistics.failures]
    assert labels == [str(i) for i in range(FIRST_FAILURES)]
    assert statistics.failed == FIRST_FAILURES + 3


async def test_an_event_that_was_cancelled_by_hand_has_not_failed():
    statistics = Statistics({})
    steps, event, late = Steps(statistics), Thing(), Thing()
    event.execution.error = cancelled_while_waiting().error
    late.execution.error = LionTimeoutError("took longer than its timeout of 1 s")
    steps(event, None, PENDING, CANCELLED)
    steps(late, None, PENDING, PROCESSING, CANCELLED)
    assert (statistics.settled, statistics.failed, statistics.by_hand) == (2, 1, 1)
    assert [each.error for each in statistics.failures] == [
        "LionTimeoutError: took longer than its timeout of 1 s"
    ]
    event.execution.error = ValueError("no")
    steps(event, CANCELLED, PENDING, PROCESSING, FAILED)
    assert (statistics.settled, statistics.failed, statistics.by_hand) == (2, 2, 0)
    event.execution.error = cancelled_while_waiting().error
    steps(event, FAILED, PENDING, CANCELLED, None)
    assert (statistics.settled, statistics.failed, statistics.by_hand) == (1, 1, 0)
