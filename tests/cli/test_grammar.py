"""What people write on a command line: the same thing in other words, and slips."""

import pytest
from cli.sample_store import fill

from lionpride.cli import main


def said(capsys, *words):
    """The exit status, and what was printed where."""
    status = main(words)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize("command", ["ls", "counts", "workers", "export"])
def test_the_store_may_be_given_by_name_or_by_place(tmp_path, capsys, command):
    path = str(tmp_path / "run.db")
    fill(path)
    more = ["--json"] if command == "ls" else []  # the table shows ages
    expected = said(capsys, command, path, *more)
    assert expected[0] == 0
    for words in ([f"--store={path}"], ["--store", path], ["--queue", "deeds", "--store", path]):
        status, out, _ = said(capsys, command, *words)
        assert status == 0
        assert out
    assert said(capsys, command, "--store", path, *more) == expected


def test_the_store_may_be_given_beside_ids(tmp_path, capsys):
    path = str(tmp_path / "run.db")
    (pending,) = fill(path)["deeds", "pending"]
    for command in ("show", "why"):
        expected = said(capsys, command, path, pending)
        assert expected[0] == 0
        assert said(capsys, command, pending, "--store", path) == expected
        assert said(capsys, command, "--store", path, pending) == expected


def test_the_store_of_an_import_stands_last(tmp_path, capsys):
    one, two = str(tmp_path / "one.db"), str(tmp_path / "two.db")
    fill(one)
    out = str(tmp_path / "all.jsonl")
    assert said(capsys, "export", one, "-o", out)[0] == 0
    assert said(capsys, "import", "--store", two, out, "--exist-ok")[0] == 0
    assert said(capsys, "export", two)[1] == said(capsys, "export", one)[1]


@pytest.mark.parametrize("command", ["ls", "top", "ui", "why", "doctor"])
def test_a_store_that_is_not_named_is_asked_for(capsys, command):
    status, _, err = said(capsys, command)
    assert status == 2
    assert "STORE" in err
    assert "sqlite:///run.db" in err
    assert "--store STORE is accepted too" in err


def test_an_option_that_there_is_not_has_its_command_say_so(capsys):
    words = ("run", "job.py:Work", "--input", "x.jsonl", "--concurency", "4")
    status, _, err = said(capsys, *words)
    assert status == 2
    assert err.startswith("usage: lionpride run ")
    assert "no such option: --concurency: did you mean --concurrency?" in err


@pytest.mark.parametrize(
    ("word", "hint"), [("rum", "did you mean run?"), ("xyzzy", "there are run, work, append")]
)
def test_a_command_that_there_is_not_names_those_that_there_are(capsys, word, hint):
    status, _, err = said(capsys, word, "job.py:Work")
    assert (status, err.startswith(f"lionpride: {word!r} is no command: {hint}")) == (2, True)


def test_help_is_a_command_too(capsys):
    assert said(capsys, "help")[:2] == said(capsys, "--help")[:2]
    assert said(capsys, "help", "run")[1].startswith("usage: lionpride run ")
    assert said(capsys, "help", "rum")[0] == 2


def test_options_may_stand_between_arguments(tmp_path, capsys):
    path = str(tmp_path / "run.db")
    fill(path)
    expected = said(capsys, "schedules", path, "list", "--json")
    assert expected[0] == 0
    assert said(capsys, "schedules", path, "--json", "list") == expected
    status, _, err = said(capsys, "schedules", path, "--queue", "deeds", "pause")
    assert (status, err) == (
        2,
        "lionpride: pause: give the name of a schedule; without ACTION they are listed\n",
    )


def test_two_options_that_exclude_each_other_are_named(tmp_path, capsys):
    words = ("migrate", str(tmp_path / "run.db"), "--check", "--sql")
    assert said(capsys, *words) == (2, "", "lionpride: --check and --sql: give one of them\n")


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_no_command_is_imported_for_the_names_of_the_commands(place, words):
    done = place.python(
        "import sys\n"
        "from lionpride.cli import main\n"
        f"assert main({words}) == 0\n"
        "print([name for name in sys.modules if name.startswith('lionpride.cli.commands.')])"
    )
    assert (done.stderr, done.stdout.splitlines()[-1]) == ("", "[]")


def test_the_library_does_not_import_what_the_command_line_needs(place):
    done = place.python("import sys, lionpride\nprint('click' in sys.modules)")
    assert (done.stderr, done.stdout) == ("", "False\n")
