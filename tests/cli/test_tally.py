"""Counting the steps of events, and keeping them for the timeline."""

import itertools

from lionpride.cli.chart import Span
from lionpride.cli.recorder import Recorder
from lionpride.cli.tally import Tally
from lionpride.core import Event, EventStatus, Transition

PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED, ABORTED = (
    EventStatus(name)
    for name in ("pending", "processing", "completed", "failed", "cancelled", "aborted")
)


class Thing(Event):
    name: str = "thing"


class Steps:
    """Tells observers of steps, a second apart."""

    def __init__(self, *observers) -> None:
        self.observers = observers
        self.at = 0.0

    def __call__(self, event, *statuses) -> None:
        for before, after in itertools.pairwise(statuses):
            if after is not None:
                event.execution.status = after
            for observer in self.observers:
                observer(Transition(event, before, after, self.at, 1))
            self.at += 1


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
    assert [(at, event.name) for at, event in tally.oldest(5)] == [(1, "first"), (3, "second")]
    steps(first, PROCESSING, COMPLETED)
    assert [event.name for _, event in tally.oldest(5)] == ["second"]
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


def test_a_recorder_keeps_every_stay():
    recorder = Recorder({})
    steps = Steps(recorder)
    steps(Thing(name="a"), None, PENDING, PROCESSING, COMPLETED)
    steps(Thing(name="b"), None, PENDING, PROCESSING, PENDING, PROCESSING, FAILED)
    steps(Thing(name="c"), None, PENDING, PENDING, ABORTED)
    steps(Thing(name="d"), None, PENDING, PROCESSING)
    steps(Thing(name="e"), None, PENDING)
    steps(Thing(name="f"), None, PENDING, None)
    assert recorder.spans() == [
        Span(0, 1, 2, "completed", "a"),
        Span(3, 4, 5, "pending", "b"),
        Span(5, 6, 7, "failed", "b"),
        Span(8, None, 10, "aborted", "c"),
        Span(14, None, 15, "cancelled", "f"),
        Span(11, 12, None, "processing", "d"),
        Span(13, None, None, "pending", "e"),
    ]


def test_an_event_without_a_text_is_called_by_its_line():
    event = Event()
    recorder = Recorder({event.id: 4})
    Steps(recorder)(event, None, PENDING)
    assert recorder.spans()[0].label == "line 4"
