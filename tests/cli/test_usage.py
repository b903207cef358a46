"""Numbers on the command line: those that make sense are read, others are named."""

import click
import pytest

from lionpride.cli import main
from lionpride.cli.usage import (
    UsageError,
    count_from_zero,
    positive_seconds,
    queue_name,
    whole_number,
)
from lionpride.errors import LionprideError


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("500", 500), (" 7 ", 7), ("1_000", 1000)])
def test_a_count_is_a_whole_number(text, number):
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "1e3", "", "many", "nan", "9" * 5000])
def test_what_is_no_count_is_named(text):
    with pytest.raises(click.BadParameter, match="whole number of at least 1") as caught:
        whole_number(text)
    assert len(str(caught.value)) < 100
    assert repr(text)[:12] in str(caught.value)


@pytest.mark.parametrize(("text", "seconds"), [("1", 1.0), ("0.25", 0.25), ("1e-3", 0.001)])
def test_a_time_is_in_seconds(text, seconds):
    assert positive_seconds(text) == seconds


@pytest.mark.parametrize("text", ["0", "-0.0", "-1", "nan", "inf", "-inf", "1e999", "", "5s"])
def test_what_is_no_time_is_named(text):
    with pytest.raises(click.BadParameter, match="number of seconds above 0") as caught:
        positive_seconds(text)
    assert repr(text) in str(caught.value)


def test_the_error_names_the_option(capsys):
    assert main(["ls", "run.db", "--limit", "0"]) == 2
    said = capsys.readouterr().err
    assert "argument --limit: '0' is not a whole number of at least 1" in said


def test_a_usage_error_is_one_of_the_library():
    assert issubclass(UsageError, LionprideError)
    assert str(UsageError("name a file")) == "name a file"


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7)])
def test_a_count_may_be_nothing(text, number):
    assert count_from_zero(text) == number
    with pytest.raises(click.BadParameter):
        count_from_zero(f"-{text}1")


def test_without_a_command_those_that_there_are_are_named(place):
    done = place.run()
    assert (done.returncode, done.stdout) == (2, "")
    for command in ("run", "ls", "show", "counts", "retry", "cancel", "export", "import"):
        assert f"\n  {command} " in done.stderr


@pytest.mark.parametrize("text", ["", " "])
def test_a_queue_without_a_name_is_not_the_default_one(text):
    assert queue_name("jobs") == "jobs"
    with pytest.raises(click.BadParameter, match="leave the option out"):
        queue_name(text)
