"""Numbers and names as people read them."""

import pytest

from lionpride.cli.text import clock, duration, one_line, plural, rate, shorten


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


def test_one_line_drops_what_a_terminal_would_obey():
    assert one_line("a\n  b\t\x1b[31mc\x07") == "a b [31mc"


def test_shorten_keeps_both_ends():
    assert shorten("short", 5) == "short"
    assert shorten("abcdefghij", 7) == "ab…ghij"
    assert all(len(shorten("x" * 50, width)) <= max(1, width) for width in range(60))
