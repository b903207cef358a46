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

from lionpride.cli.ledger import Ledger
from lionpride.stores.record import Record


def record(event, status, **execution):
    event.execution.arrival, event.execution.priority = 1, 0.0
    event.execution.become(status)
    for name, value in execution.items():
        setattr(event.execution, name, value)
    found = Record.of(event, "q", status)
    event.execution.arrival = None
    return found


def counted(ledger):
    return {status: number for status, number in ledger.counts.items() if number}


def test_what_ended_before_is_counted_with_its_duration_and_its_error():
    done, failed, left = Thing(), Thing(name="broken"), Thing()
    ledger = Ledger({done.id: 1, failed.id: 2, left.id: 3})
    ledger.enter(1, record(done, COMPLETED, duration=0.5))
    ledger.enter(2, record(failed, FAILED, duration=0.1, error=ValueError("no")))
    ledger.enter(3, record(left, PROCESSING))
    assert counted(ledger) == {COMPLETED: 1, FAILED: 1, PENDING: 1}
    assert (ledger.known, ledger.earlier, ledger.total, ledger.settled) == (3, 2, 3, 2)
    assert list(ledger.durations[COMPLETED]) == [0.5]
    (failure,) = ledger.failures
    assert (failure.line, failure.label, failure.error) == (2, "broken", "ValueError: no")
    assert list(ledger.unsettled()) == [left.id]
    assert list(ledger.settled_before()) == [done.id, failed.id]


async def test_a_step_counts_from_where_the_line_stood_here():
    event = Thing()
    ledger = Ledger({event.id: 5000})
    steps = Steps(ledger)
    steps(event, None, PENDING, PROCESSING, FAILED)
    assert not ledger.reopened
    steps(event, PENDING, PROCESSING, COMPLETED)  # another process has sent it back
    assert counted(ledger) == {COMPLETED: 1}
    assert ledger.reopened
    assert ledger.standing(5000) is COMPLETED
    assert ledger.standing(4999) is None
    assert ledger.standing(99_999) is None


async def test_what_is_no_line_is_counted_apart_until_its_line_is_read():
    stranger, other = Thing(), Thing()
    lines = {}
    ledger = Ledger(lines)
    steps = Steps(ledger)
    steps(stranger, PENDING, PROCESSING)
    assert len(ledger.running) == 1
    steps(stranger, PROCESSING, FAILED)
    steps(other, PENDING, CANCELLED)
    assert ledger.room.is_set()
    assert (ledger.total, ledger.others, ledger.others_failed) == (0, 2, 2)
    lines[stranger.id] = 1
    ledger.enter(1, record(stranger, FAILED))
    assert (ledger.total, ledger.others, ledger.others_failed) == (1, 1, 1)


def test_what_others_have_done_is_taken_over_once():
    event = Thing()
    ledger = Ledger({event.id: 1})
    found = record(event, PENDING)
    ledger.enter(1, found)
    done = replace(
        found, status=COMPLETED, payload={**found.payload, "execution": {"duration": 2.0}}
    )
    for _ in range(2):
        ledger.correct(1, done)
    assert counted(ledger) == {COMPLETED: 1}
    assert list(ledger.durations[COMPLETED]) == [2.0]
    assert ledger.earlier == 0
