"""Counting lines over a store: what was there before, and what others do meanwhile."""

from dataclasses import replace

from cli.steps import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    PROCESSING,
    Steps,
    Thing,
)

from lionpride.cli.output.statistics import StoreStatistics
from lionpride.stores.record import Record


def record(event, status, **execution):
    event.execution.arrival, event.execution.priority = 1, 0.0
    event.execution.become(status)
    for name, value in execution.items():
        setattr(event.execution, name, value)
    found = Record.of(event, "q", status)
    event.execution.arrival = None
    return found


def counted(stored):
    return {status: number for status, number in stored.counts.items() if number}


def test_what_ended_before_is_counted_with_its_duration_and_its_error():
    done, failed, left = Thing(), Thing(name="broken"), Thing()
    stored = StoreStatistics({done.id: 1, failed.id: 2, left.id: 3})
    stored.enter(1, record(done, COMPLETED, duration=0.5))
    stored.enter(2, record(failed, FAILED, duration=0.1, error=ValueError("no")))
    stored.enter(3, record(left, PROCESSING))
    assert counted(stored) == {COMPLETED: 1, FAILED: 1, PENDING: 1}
    assert (stored.known, stored.earlier, stored.total, stored.settled) == (3, 2, 3, 2)
    assert list(stored.durations[COMPLETED]) == [0.5]
    (failure,) = stored.failures
    assert (failure.line, failure.label, failure.error) == (2, "broken", "ValueError: no")
    assert list(stored.unsettled()) == [left.id]
    assert list(stored.settled_before()) == [done.id, failed.id]


async def test_a_step_counts_from_where_the_line_stood_here():
    event = Thing()
    stored = StoreStatistics({event.id: 5000})
    steps = Steps(stored)
    steps(event, None, PENDING, PROCESSING, FAILED)
    assert not stored.reopened
    steps(event, PENDING, PROCESSING, COMPLETED)  # another process has sent it back
    assert counted(stored) == {COMPLETED: 1}
    assert stored.reopened
    assert stored.standing(5000) is COMPLETED
    assert stored.standing(4999) is None
    assert stored.standing(99_999) is None


async def test_what_is_no_line_is_counted_apart_until_its_line_is_read():
    stranger, other = Thing(), Thing()
    lines = {}
    stored = StoreStatistics(lines)
    steps = Steps(stored)
    steps(stranger, PENDING, PROCESSING)
    assert len(stored.running) == 1
    steps(stranger, PROCESSING, FAILED)
    steps(other, PENDING, CANCELLED)
    assert stored.room.is_set()
    assert (stored.total, stored.others, stored.others_failed) == (0, 2, 2)
    lines[stranger.id] = 1
    stored.enter(1, record(stranger, FAILED))
    assert (stored.total, stored.others, stored.others_failed) == (1, 1, 1)


def test_what_others_have_done_is_taken_over_once():
    event = Thing()
    stored = StoreStatistics({event.id: 1})
    found = record(event, PENDING)
    stored.enter(1, found)
    done = replace(
        found, status=COMPLETED, payload={**found.payload, "execution": {"duration": 2.0}}
    )
    for _ in range(2):
        stored.correct(1, done)
    assert counted(stored) == {COMPLETED: 1}
    assert list(stored.durations[COMPLETED]) == [2.0]
    assert stored.earlier == 0
