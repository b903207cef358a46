"""Numbers and names as people read them."""

import json

import pytest

from lionpride.core import Event
from lionpride.drawing.text import (
    clock,
    columns,
    duration,
    fitting,
    number,
    one_line,
    plural,
    rate,
    shorten,
    text_width,
    trouble,
    wait,
)
from lionpride.errors import ConfigurationError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0032999, "0.003 s"),
        (0.05, "0.05 s"),
        (0.4, "0.4 s"),
        (1.0, "1 s"),
        (3.21, "3.2 s"),
        (9.96, "10 s"),
        (60, "60 s"),
        (99.6, "1.7 min"),
        (240, "4 min"),
        (5400, "90 min"),
        (7200, "2 h"),
        (86_400, "24 h"),
        (259_200, "3 days"),
    ],
)
def test_a_wait_has_one_unit(seconds: float, text: str) -> None:
    assert wait(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (-1.0, "-1"), (0.25, "0.25"), (1e6, "1,000,000"), (0, "0"), (1234.56, "1,235")],
)
def test_an_amount_is_written_in_full(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.00001, "<0.1 ms"),
        (0.0004, "0.4 ms"),
        (0.0123, "12 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (3.214, "3.21 s"),
        (12.34, "12.3 s"),
        (59.94, "59.9 s"),
        (59.99, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3725, "1 h 2 min"),
    ],
)
def test_duration_has_about_three_digits(seconds, text):
    assert duration(seconds) == text


def test_clock_keeps_its_width_from_second_to_second():
    assert [clock(s) for s in (0, 7.9, 750, 3723)] == ["0:00", "0:07", "12:30", "1:02:03"]


def test_rate_counts_in_minutes_where_seconds_are_too_short():
    assert [rate(r) for r in (1234.5, 12.34, 0.075)] == ["1,234/s", "12.3/s", "4.5/min"]


def test_plural():
    assert [plural(n, "event") for n in (0, 1, 1790)] == ["0 events", "1 event", "1,790 events"]


def test_one_line_drops_control_characters():
    assert one_line("a\n  b\t\x1b[31mc\x07") == "a b [31mc"


def test_shorten_keeps_both_ends():
    assert shorten("short", 5) == "short"
    assert shorten("abcdefghij", 7) == "ab…ghij"
    assert all(len(shorten("x" * 50, width)) <= max(1, width) for width in range(60))


def test_the_width_of_a_text_depends_on_its_letters_and_their_size():
    assert text_width("", 11) == 0
    assert text_width("ill", 11) < text_width("abc", 11) < text_width("mmm", 11)
    assert text_width("abc", 22) == 2 * text_width("abc", 11)
    assert text_width("日本", 10) == 20


@pytest.mark.parametrize(
    ("text", "room", "drawn"),
    [
        ("test/test_re.py", "test/test_re.py", "test/test_re.py"),
        ("a/long/path/name.py", "path/name.py", "path/name.py"),
        ("a/long/path/name.py", "xpath/name.py", "path/name.py"),
        ("a/long/path/name.py", "name.py", "name.py"),
        ("a/long/path/name.py", "name.p", ""),
        ("test_asyncio_tasks.py", "test_asyncio_tas", "test…o_tasks.py"),
        ("test_asyncio_tasks.py", "test_asyncio", ""),
        ("some/folder/", "folder/", "folder/"),
        ("", "wide enough", ""),
        ("/", "", ""),
    ],
)
def test_fitting_returns_the_text_or_the_end_of_a_path(text, room, drawn):
    assert fitting(text, text_width(room, 11), 11) == drawn


def test_fitting_text_is_never_too_wide():
    text = "some/folder/with/a_rather_long_name_of_a_file.jsonl"
    for width in range(0, 400, 7):
        assert text_width(fitting(text, width, 11), 11) <= width


def test_trouble_names_place_class_and_message_in_one_line():
    def fail(error):
        raise error

    with pytest.raises(ValueError, match="no") as caught:
        fail(ValueError("no\n such  size"))
    assert trouble(caught.value).startswith("test_text.py line ")
    assert trouble(caught.value).endswith(": ValueError: no such size")
    assert trouble(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert len(trouble(ValueError("x" * 10_000))) == 300


def test_trouble_in_a_library_has_the_line_of_the_caller():
    with pytest.raises(ConfigurationError) as ours:
        type("Bad", (Event,), {"__annotations__": {"status": str}, "__module__": __name__})
    with pytest.raises(ValueError, match="Expecting") as pythons:
        json.loads("{")
    for caught in (ours, pythons):
        assert trouble(caught.value).startswith("test_text.py line ")


def test_a_syntax_error_has_the_line_in_its_file():
    with pytest.raises(SyntaxError) as caught:
        compile("x = 1\ndef (:", "some/job.py", "exec")
    assert trouble(caught.value).startswith("job.py line 2: SyntaxError: ")


def test_columns_are_aligned_left_or_right():
    assert columns([["a", "b"], ["long", "1,000"]], {1}) == ["a         b", "long  1,000"]
    assert columns([["a", ""]]) == ["a"]
