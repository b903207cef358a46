"""`lionpride ls`: which events, in which order, and what is said of each."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from cli.sample_store import EVENTS, fill, while_it_runs

from lionpride.cli import main
from lionpride.cli.commands import ls


@pytest.fixture
def store(kept):
    fill(kept, "a", "b")
    return kept


def listed(capsys, *arguments):
    assert main(["ls", *arguments]) == 0
    return capsys.readouterr()


def test_all_queues_with_the_newest_first(store, capsys):
    out, err = listed(capsys, store)
    heading, *rows = out.splitlines()
    names = ["number", "id", "queue", "kind", "about", "status", "age", "attempts", "ran", "why"]
    assert heading.split() == names
    assert [int(row.split()[0]) for row in rows] == list(range(2 * EVENTS, 0, -1))
    assert err == ""


def test_what_went_wrong_is_said_and_cannot_harm_a_terminal(store, capsys):
    out, _ = listed(capsys, store, "--status", "failed", "--queue", "b")
    heading, row = out.splitlines()
    assert "queue" not in heading
    assert row.endswith("ValueError: told to [31mfail")


def numbers(out):
    return [json.loads(line)["number"] for line in out.splitlines()]


def test_a_limit_says_how_to_go_on(store, capsys, monkeypatch, snapshot):
    monkeypatch.setattr(ls, "PAGE", 2)
    out, err = listed(capsys, store, "--limit", "5", "--json")
    assert numbers(out) == [12, 11, 10, 9, 8]
    assert "--before 8" in err
    assert err == snapshot
    out, err = listed(capsys, store, "--before", "8", "--json")
    assert numbers(out) == [7, 6, 5, 4, 3, 2, 1]
    assert err == ""
    assert listed(capsys, store, "--limit", str(2 * EVENTS)).err == ""


def test_the_first_ones_above_a_number(store, capsys, monkeypatch):
    monkeypatch.setattr(ls, "PAGE", 2)
    out, err = listed(capsys, store, "--after", "3", "--limit", "5", "--json")
    assert numbers(out) == [8, 7, 6, 5, 4]
    assert "--after 8" in err
    out, err = listed(capsys, store, "--after", "8", "--before", "11", "--json")
    assert (numbers(out), err) == ([10, 9], "")
    assert listed(capsys, store, "--after", "12", "--json") == ("", "")


def test_filters(store, capsys):
    out, _ = listed(capsys, store, "--text", "TOLD", "--json")
    assert numbers(out) == [8, 2]
    kind = "cli.sample_store.Deed"
    out, _ = listed(capsys, store, "--kind", kind, "--status", "skipped", "--json")
    assert numbers(out) == [9, 3]
    assert listed(capsys, store, "--kind", "cli.sample_store.Other", "--json").out == ""
    assert len(numbers(listed(capsys, store, "--since", "1h", "--json").out)) == 2 * EVENTS
    assert listed(capsys, store, "--since", "2999-01-01T00:00", "--json").out == ""


def in_a_terminal(width, *arguments):
    """What a command writes on a terminal of a width."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-m", "lionpride", "ls", *arguments]
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.PIPE, env=env):
        os.close(follower)
        said = b""
        with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
            while part := os.read(leader, 4096):
                said += part
    os.close(leader)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode()).splitlines()


def test_a_terminal_of_80_columns_keeps_status_kind_age_and_error(tmp_path):
    store = str(tmp_path / "run.db")
    fill(store)
    heading, *rows = in_a_terminal(80, store, "--status", "failed")
    assert heading.split() == ["number", "kind", "status", "age", "why"]
    assert max(len(row) for row in rows) <= 80
    text = "\n".join(rows)
    for said in ("cli.sample_store.Deed", "failed", "ValueError: told"):
        assert said in text
    assert "id" in in_a_terminal(200, store)[0].split()


@pytest.mark.parametrize(
    ("status", "count"), [("completed", 4), ("pending", 2), ("aborted", 0), ("skipped", 2)]
)
def test_one_status(store, capsys, status, count):
    out, _ = listed(capsys, store, "--status", status, "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert [each["status"] for each in found] == [status] * count
    assert all(each["payload"]["execution"]["status"] == status for each in found)


def test_what_runs_says_how_far_it_is(kept, capsys):
    assert while_it_runs(kept, lambda store, *_: main(["ls", store])) == 0
    ended, running = capsys.readouterr().out.splitlines()[1:]
    assert running.endswith("  50% half [31mof it 2 chunks")
    assert "chunks" not in ended


@pytest.mark.parametrize(
    "option",
    [
        ("--status", "done"),
        ("--limit", "0"),
        ("--after", "-1"),
        ("--before", "0"),
        ("--since", "yesterday"),
    ],
)
def test_options_that_make_no_sense(store, capsys, option):
    assert main(["ls", store, *option]) == 2
    assert option[0] in capsys.readouterr().err
