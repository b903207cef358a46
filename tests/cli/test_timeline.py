"""Keeping what the timeline draws: every stay of every event, whatever became of it."""

from cli.steps import ABORTED, COMPLETED, FAILED, PENDING, PROCESSING, Steps, Thing

from lionpride.cli.batch.timeline import Recorder
from lionpride.core import Event
from lionpride.drawing.chart import Span


def test_every_stay_is_kept():
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


def test_an_event_that_never_came_with_the_input_is_drawn_too():
    recorder = Recorder({})
    Steps(recorder)(Event(), None, PENDING, PROCESSING, COMPLETED)
    assert recorder.spans() == [Span(0, 1, 2, "completed", "line ?")]


def test_a_second_life_begins_with_its_own_arrival():
    recorder = Recorder({})
    steps, event = Steps(recorder), Thing(name="again")
    steps(event, None, PENDING, PROCESSING, FAILED)
    steps(event, FAILED, PENDING, PROCESSING, COMPLETED)
    assert recorder.spans() == [
        Span(0, 1, 2, "failed", "again"),
        Span(3, 4, 5, "completed", "again"),
    ]


def test_asking_changes_nothing():
    recorder = Recorder({})
    steps, event = Steps(recorder), Thing(name="a")
    steps(event, None, PENDING, PROCESSING)
    assert recorder.spans() == recorder.spans() == [Span(0, 1, None, "processing", "a")]
    steps(event, PROCESSING, COMPLETED)
    assert recorder.spans() == [Span(0, 1, 2, "completed", "a")]


def test_what_was_there_before_the_run_waits_from_its_beginning():
    recorder = Recorder({}, began=-3.0)
    steps = Steps(recorder)
    steps(Thing(name="old"), PENDING, PROCESSING, COMPLETED)
    steps(Thing(name="new"), None, PENDING, PROCESSING, COMPLETED)
    assert recorder.spans() == [
        Span(-3.0, 0, 1, "completed", "old"),
        Span(2, 3, 4, "completed", "new"),
    ]
