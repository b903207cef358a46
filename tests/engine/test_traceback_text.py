"""Where an error came from: the code, bounded, and no values."""

import linecache
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from lionpride.engine.traceback_text import FRAMES, traceback_text
from lionpride.model.attempts import TRACE

SECRET = "sesame"


def raised(function: Callable[..., Any], *given: Any) -> BaseException:
    try:
        function(*given)
    except BaseException as error:
        return error
    raise AssertionError("it did not raise")


def fails(word: str) -> None:
    raise ValueError(word)


def fails_after_another(word: str) -> None:
    try:
        fails(word)
    except ValueError as error:
        raise KeyError(word) from error


def fails_while_another_is_handled(word: str) -> None:
    try:
        fails(word)
    except ValueError:
        _ = {}[word]  # type: ignore[index]


def fails_deep(deep: int) -> None:
    if deep:
        fails_deep(deep - 1)
    raise ValueError(SECRET)


def fails_as_a_group(word: str) -> None:
    raise ExceptionGroup(word, [raised(fails, word), raised(fails_after_another, word)])  # type: ignore[type-var]


def test_it_reads_as_python_prints_it_without_what_the_errors_say() -> None:
    lines = traceback_text(raised(fails_after_another, SECRET)).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line for line in lines if not line.startswith(" ")] == [
        "Traceback (most recent call last):",
        "ValueError",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        "KeyError",
    ]
    assert f'  File "{__file__}", line ' in lines[1]
    assert lines[1].endswith(", in fails_after_another")
    assert lines[2] == "    fails(word)"
    assert "    raise KeyError(word) from error" in lines
    assert SECRET not in "".join(lines)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (fails_while_another_is_handled, "During handling of the above exception"),
        (fails_as_a_group, "One of the exceptions in it:"),
    ],
)
def test_what_an_error_came_from_or_consists_of_is_told(function: Any, words: str) -> None:
    text = traceback_text(raised(function, SECRET))
    assert words in text
    assert "in fails\n    raise ValueError(word)" in text
    assert SECRET not in text


def test_what_was_to_be_left_out_is() -> None:
    error = raised(fails_while_another_is_handled, "x")
    error.__suppress_context__ = True
    assert "ValueError" not in traceback_text(error)


def test_an_error_that_was_never_raised_has_none() -> None:
    assert traceback_text(ValueError("x")) == ""


def test_the_last_frames_are_told() -> None:
    text = traceback_text(raised(fails_deep, 3 * FRAMES))
    assert text.count("in fails_deep") == FRAMES
    assert text.endswith("    raise ValueError(SECRET)\nValueError")


def test_a_cycle_of_causes_ends() -> None:
    first, second = raised(fails, "x"), raised(fails, "y")
    first.__cause__, second.__cause__ = second, first
    assert traceback_text(first).count("in fails\n") == 2


def test_the_text_is_bounded_and_its_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    long = f"def {'f' * 500}(then):\n    then()  # {'x' * 1000}\n"
    name = f"<{'long' * 100}>"
    linecache.cache[name] = (len(long), None, long.splitlines(keepends=True), name)
    within: dict[str, Any] = {}
    exec(compile(long, name, "exec"), within)
    inner: Callable[[], None] = partial(fails, "x")
    for _ in range(FRAMES):
        inner = partial(within["f" * 500], inner)
    text = traceback_text(raised(inner))
    assert len(text) <= TRACE
    assert text.startswith("…\n")
    assert text.endswith("ValueError")
    assert max(map(len, text.splitlines())) < 1200
    del linecache.cache[name]


def test_errors_that_came_the_same_way_share_one_text() -> None:
    texts = [traceback_text(raised(fails, str(number))) for number in range(3)]
    assert texts[0] is texts[1] is texts[2]


def test_errors_that_came_from_however_deep_share_one_text() -> None:
    texts = [traceback_text(raised(fails_deep, deep)) for deep in (2 * FRAMES, 3 * FRAMES, 300)]
    assert texts[0] is texts[1] is texts[2]


def test_members_and_causes_that_were_never_raised_are_named() -> None:
    def fails_with_a_group() -> None:
        raise ExceptionGroup(SECRET, [KeyError(SECRET)]) from OSError(SECRET)

    lines = traceback_text(raised(fails_with_a_group)).splitlines()
    assert lines[0] == "OSError"
    assert lines[-2:] == ["One of the exceptions in it:", "KeyError"]


def test_an_error_that_hides_what_it_is_harms_nobody() -> None:
    class Odd(ExceptionGroup[ValueError]):
        @property
        def exceptions(self) -> Any:
            raise RuntimeError("no")

    error = raised(lambda: (_ for _ in ()).throw(Odd("x", [ValueError("y")])))
    assert traceback_text(error) == ""
