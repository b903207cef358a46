"""What is kept of attempts that failed: bounded, and read back as it was written."""

import json
from typing import Any

import pytest

from lionpride.errors import ValidationError
from lionpride.model.attempts import MOST, TEXT, Attempt, and_this, attempts_of, told

ONE = Attempt(3, 1_000.5, 0.25, "ValueError: no")


def test_an_error_is_told_by_its_class_and_what_it_says() -> None:
    assert told(ValueError("no")) == "ValueError: no"
    assert told(KeyError()) == "KeyError"


def test_a_long_text_is_cut() -> None:
    text = told(ValueError("x" * 10_000))
    assert len(text) == TEXT
    assert text.endswith("…")


def test_an_error_that_cannot_be_told_is_said_so() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise OSError

    assert told(Mute()) == "Mute: <str raised OSError>"


def test_the_last_attempts_are_kept() -> None:
    kept: tuple[Attempt, ...] = ()
    for number in range(MOST + 5):
        kept = and_this(kept, ONE._replace(number=number))
    assert [each.number for each in kept] == list(range(5, MOST + 5))


def test_they_are_read_back_from_both_ways_of_writing() -> None:
    for written in ([ONE._asdict()], [list(ONE)], (ONE,)):
        assert attempts_of(json.loads(json.dumps(written))) == (ONE,)
    assert attempts_of([]) == ()
    assert len(attempts_of([ONE] * 50)) == MOST
    (long,) = attempts_of([ONE._replace(error="x" * 10_000)])
    assert len(long.error) == TEXT


@pytest.mark.parametrize(
    "data",
    [
        "text",
        5,
        None,
        {"number": 1},
        ["text"],
        [{"number": 1}],
        [[1, 2.0]],
        [[1, 2.0, float("nan"), "x"]],
        [["1", 2.0, 3.0, "x"]],
        [[True, 2.0, 3.0, "x"]],
        [[1, 2.0, 3.0, None]],
    ],
    ids=str,
)
def test_what_is_none_is_refused(data: Any) -> None:
    with pytest.raises(ValidationError, match=r"execution\.attempts"):
        attempts_of(data)
