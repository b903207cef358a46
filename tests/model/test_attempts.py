"""What is kept of attempts that failed: bounded, and read back as it was written."""

import json
from typing import Any

import pytest

from lionpride.errors import ValidationError
from lionpride.model.attempts import MOST, TEXT, TRACE, Attempt, and_this, attempts_of, told

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


def test_the_last_tracebacks_are_kept_as_far_as_there_is_room() -> None:
    kept: tuple[Attempt, ...] = ()
    for number in range(6):
        kept = and_this(kept, ONE._replace(number=number, traceback="x" * (TRACE // 3)))
    assert [bool(each.traceback) for each in kept] == [False] * 3 + [True] * 3
    kept = and_this(kept, ONE._replace(traceback="x" * TRACE))
    assert [len(each.traceback) for each in kept] == [0] * 6 + [TRACE]


def test_what_is_read_from_elsewhere_has_no_more_of_them() -> None:
    written = [ONE._replace(number=number, traceback="x" * TRACE)._asdict() for number in range(3)]
    assert [len(each.traceback) for each in attempts_of(written)] == [0, 0, TRACE]


def test_what_was_written_before_tracebacks_were_kept_is_read() -> None:
    old = ONE._asdict()
    del old["traceback"]
    assert attempts_of([old, list(ONE)[:4]]) == (ONE, ONE)


def test_they_are_read_back_from_both_ways_of_writing() -> None:
    for one in (ONE, ONE._replace(traceback='  File "x.py"\n')):
        for written in ([one._asdict()], [list(one)], (one,)):
            assert attempts_of(json.loads(json.dumps(written))) == (one,)
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
        [[1, 2.0, 3.0, "x", 5]],
        [[1, 2.0, 3.0, "x", "y", "z"]],
    ],
    ids=str,
)
def test_what_is_none_is_refused(data: Any) -> None:
    with pytest.raises(ValidationError, match=r"execution\.attempts"):
        attempts_of(data)
