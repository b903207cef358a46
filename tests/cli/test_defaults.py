"""`--set FIELD=VALUE`: read as the field takes it, or refused before anything runs."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from lionpride.cli.batch.defaults import read_defaults
from lionpride.cli.usage import UsageError
from lionpride.core import Event


class Draw(Event):
    title: str = ""
    width: int = Field(100, gt=0)
    scale: float | None = None
    colour: Literal["red", "blue"] = "red"
    tags: list[str] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)
    path: Path = Path()


def made(*texts: str) -> Draw:
    """An event with these values and no others."""
    return Draw(**read_defaults(Draw, texts))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("title=a=b", "a=b"),
        ("title=12", "12"),
        ("title=", ""),
        ("width=12", 12),
        ("scale=0.5", 0.5),
        ("scale=null", None),
        ("colour=blue", "blue"),
        ('tags=["a", "b"]', ["a", "b"]),
        ('options={"a": {"b": 1}}', {"a": {"b": 1}}),
        ("path=a/b", Path("a/b")),
        ("streaming=true", True),
    ],
)
def test_a_value_is_what_the_field_takes(text, value):
    assert getattr(made(text), text.partition("=")[0]) == value


def test_the_last_one_of_a_field_counts():
    assert made("width=1", "title=x", "width=2").width == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("width", "write FIELD=VALUE"),
        ("=3", "write FIELD=VALUE"),
        ("widht=3", "did you mean width?"),
        ("size=3", "it has title, width"),
        ("priority=3", "each line of the input has its own"),
        ("id=3", "is not a field of Draw"),
        ("width=0", "greater than 0"),
        ("width=wide", "valid integer"),
        ("tags=a", "valid list"),
        ("colour=green", "'red' or 'blue'"),
        ("options=" + "[" * 100_000, "valid dictionary"),
    ],
)
def test_what_makes_no_sense_is_named(text, said):
    with pytest.raises(UsageError) as caught:
        read_defaults(Draw, [text])
    assert said in str(caught.value)
    assert str(caught.value).startswith("--set ")
    assert len(str(caught.value)) < 300


def test_a_line_goes_before_it(place):
    place.write({"name": "own", "size": 1}, {}, {"size": 3})
    done = place.run(
        "run", "job.py:Work", "--input", "events.jsonl", "--output", "results.jsonl",
        "--set", "name=all", "--set", "size=7", "--set", "size=8", "--concurrency", "1",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = [(each["response"]["name"], each["response"]["size"]) for each in place.results()]
    assert found == [("own", 1), ("all", 8), ("all", 3)]


def test_nothing_runs_with_one_that_makes_no_sense(place):
    place.write({})
    (place.path / "results.jsonl").write_text("old\n")
    done = place.run(
        "run", "job.py:Work", "--input", "events.jsonl", "--output", "results.jsonl",
        "--set", "size=big",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("lionpride: --set size=big: ")
    assert (place.path / "results.jsonl").read_text() == "old\n"


def test_over_a_store_a_line_keeps_what_its_first_run_gave(place):
    place.write({"size": 1})
    flags = ("run", "job.py:Work", "--input", "events.jsonl", "--store", "run.db")
    assert place.run(*flags, "--set", "name=first").returncode == 0
    assert place.run(*flags, "--set", "name=second").returncode == 0
    [record] = place.store("ls", "run.db", "--json")
    assert record["payload"]["name"] == "first", json.dumps(record)
