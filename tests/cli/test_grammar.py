"""What people write on a command line: the same thing in other words, and slips."""

import pytest
from cli.shelves import fill

from lionpride.cli import main


def said(capsys, *words):
    """The exit status, and what was printed where."""
    try:
        status = main(words)
    except SystemExit as error:  # argparse ends so
        status = error.code
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
    assert "unrecognized arguments: --concurency 4: did you mean --concurrency?" in err


@pytest.mark.parametrize(
    ("word", "hint"), [("rum", "did you mean run?"), ("xyzzy", "there are run, work, ls")]
)
def test_a_command_that_there_is_not_names_those_that_there_are(capsys, word, hint):
    status, _, err = said(capsys, word, "job.py:Work")
    assert (status, err.startswith(f"lionpride: {word!r} is no command: {hint}")) == (2, True)


def test_help_is_a_command_too(capsys):
    assert said(capsys, "help")[:2] == said(capsys, "--help")[:2]
    assert said(capsys, "help", "run")[1].startswith("usage: lionpride run ")
    assert said(capsys, "help", "rum")[0] == 2
