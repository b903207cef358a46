"""The results file: plain JSON where that will do, and nothing that cannot be opened."""

import datetime as dt
import json
import math

import pytest

from lionpride.cli.batch.results import Results, recorded_line, result_line
from lionpride.core import Event, EventStatus, Transition
from lionpride.errors import Skip
from lionpride.stores.record import Record


class Give(Event):
    async def _invoke(self):
        value = self.metadata["value"]
        if isinstance(value, BaseException):
            raise value
        return value


async def written(value, number=3):
    event = Give(metadata={"value": value})
    await event.invoke()
    line = result_line(event, number)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return event, json.loads(line)


async def test_a_response_is_plain_json():
    event, record = await written({"a": [1, 2.5, None, "é"], "b": (1, 2)})
    assert list(record) == ["id", "line", "status", "response", "attempts", "duration"]
    assert record["id"] == str(event.id)
    assert record["line"] == 3
    assert record["status"] == "completed"
    assert record["response"] == {"a": [1, 2.5, None, "é"], "b": [1, 2]}
    assert record["duration"] >= 0


async def test_an_error_has_its_class_and_its_message():
    _, record = await written(ValueError("no such size"))
    assert record["status"] == "failed"
    assert record["error"]["error"] == "ValueError"
    assert record["error"]["message"] == "no such size"
    assert record["attempts"] == 1
    assert "response" not in record


def test_attempts_is_the_number_of_the_attempt_that_ended():
    event = Give(metadata={"value": 1})
    event.execution.attempt_number, event.execution.failure_count = 3, 2
    event.execution.status = EventStatus.COMPLETED
    record = json.loads(result_line(event, 1))
    assert record["attempts"] == 3
    assert "tries" not in record


async def test_a_skip_has_its_reason():
    _, record = await written(Skip("nothing to do"))
    assert record["status"] == "skipped"
    assert record["error"]["message"] == "nothing to do"


class Odd:
    def __repr__(self):
        return "<odd>"


def a_cycle():
    loop: list = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
        math.nan,
        {1: {2, 3}},
        {(1, 2): 3},
        10**400,
        "\ud800",
        Odd(),
        a_cycle(),
        [Odd()] * 3,
        ValueError,
    ],
    ids=repr,
)
async def test_any_response_at_all_is_written(value):
    _, record = await written(value)
    assert record["status"] == "completed"
    assert "response" in record


async def test_a_response_is_written_as_plain_json():
    _, record = await written(
        {"plain": 1, "when": dt.date(2024, 1, 2), 1: (2, {3}), "nan": math.nan}
    )
    assert record["response"] == {
        "plain": 1,
        "when": "2024-01-02",
        "1": [2, [3]],
        "nan": "nan",
    }


class Refusing:
    """An output that takes so many lines and then raises."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.lines: list[int] = []

    def write(self, data: bytes) -> None:
        if len(self.lines) == self.room:
            raise OSError(28, "No space left on device")
        self.lines.append(json.loads(data)["line"])

    def start_over(self) -> bool:
        self.lines.clear()
        return True


def settled(event):
    return Transition(event, EventStatus.PROCESSING, EventStatus.COMPLETED, 1.0, 1)


def test_a_result_is_written_when_its_event_settles_and_not_before():
    event, output = Give(), Refusing(5)
    results = Results(output, {event.id: 4}, pytest.fail)
    results(Transition(event, None, EventStatus.PENDING, 0.0, 0))
    results(Transition(event, EventStatus.PENDING, EventStatus.PROCESSING, 0.0, 1))
    results(Transition(event, EventStatus.PROCESSING, EventStatus.PENDING, 1.0, 1))
    assert output.lines == []
    results(settled(event))
    assert output.lines == [4]


def test_an_id_is_written_once_and_only_if_it_came_with_the_input():
    known, other, output = Give(), Give(), Refusing(5)
    results = Results(output, {known.id: 4}, pytest.fail)
    for event in (known, other, known):
        results(settled(event))
    assert output.lines == [4]


def test_a_write_that_fails_is_told_once_and_is_the_last():
    events, output, told = [Give() for _ in range(4)], Refusing(1), []
    results = Results(output, {event.id: n for n, event in enumerate(events)}, told.append)
    for event in events:
        results(settled(event))
    assert output.lines == [0]
    assert [error.errno for error in told] == [28]


async def test_a_record_gives_the_line_that_its_event_gave():
    for value in (None, {"a": (1, b"x"), "$b": math.nan}, ValueError("no"), Skip("why"), Odd()):
        event, line = await written(value)
        event.execution.arrival, event.execution.priority = 1, 0.5
        record = Record.of(event, "q", event.status)
        record.payload["execution"] = json.loads(json.dumps(record.payload["execution"]))
        assert json.loads(recorded_line(record, 3)) == line


async def test_what_is_on_record_is_written_once_and_again_after_a_new_start():
    event, _ = await written(1)
    event.execution.arrival, event.execution.priority = 1, 0.5
    record, output = Record.of(event, "q", event.status), Refusing(9)
    results = Results(output, {event.id: 4}, pytest.fail)
    assert not results.has(4)
    results.write_record(record, 4)
    results(settled(event))
    assert output.lines == [4]
    assert results.has(4)
    results.start_over()
    results.write_record(record, 4)
    assert output.lines == [4]
