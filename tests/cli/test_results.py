"""The results file: plain JSON where that will do, and nothing that cannot be opened."""

import datetime as dt
import json
import math

import pytest

from lionpride.cli.results import open_output, result_line
from lionpride.cli.usage import UsageError
from lionpride.core import Event
from lionpride.errors import Skip


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
    assert list(record) == ["id", "line", "status", "response", "tries", "duration"]
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
    assert record["tries"] == 1
    assert "response" not in record


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


async def test_what_json_cannot_say_is_tagged_and_the_rest_is_not():
    _, record = await written({"plain": 1, "when": dt.date(2024, 1, 2)})
    assert record["response"] == {"plain": 1, "when": {"$date": "2024-01-02"}}


def test_opening_keeps_what_is_there(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text("old\n")
    open_output("--output", str(path), {}).close()
    assert path.read_text() == "old\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone/results.jsonl", ["no directory", "mkdir -p"]),
        (".", ["is a directory"]),
        ("events.jsonl", ["also the file of --input"]),
        ("./same/../events.jsonl", ["also the file of --input"]),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "same").mkdir()
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(UsageError) as caught:
        open_output("--output", name, {"--input": "events.jsonl"})
    assert all(word in str(caught.value) for word in [*words, name])
