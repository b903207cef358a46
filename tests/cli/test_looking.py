"""The commands that look after a store, as processes: whatever another process does meanwhile."""

import json
import os
import subprocess
import time
from contextlib import ExitStack

import pytest
from cli.sample_store import EVENTS, fill
from cli.texts import plain
from kept import over_kept

RUN = ("--input", "events.jsonl", "--store", "run.db")
READING = [("ls", "run.db"), ("counts", "run.db"), ("export", "run.db"), ("show", "run.db", "a")]
CHANGING = [
    ("retry", "run.db", "a"),
    ("cancel", "run.db", "a"),
    ("schedules", "run.db", "run", "a"),
]
COMMANDS = [*READING, *CHANGING]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_file_that_is_not_there_is_an_error_and_not_made(place, command, snapshot):
    done = place.run(*command)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert plain(done.stderr, folder=place.path) == snapshot
    assert not list(place.path.glob("run.db*"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_file_that_is_no_store_is_an_error_and_left_as_it_is(place, command, snapshot):
    (place.path / "run.db").write_text("nothing of the kind\n")
    done = place.run(*command)
    assert done.returncode == 2
    assert plain(done.stderr, folder=place.path) == snapshot
    assert (place.path / "run.db").read_text() == "nothing of the kind\n"


NOWHERE = "postgresql://me:secret@127.0.0.1:1/events"


@pytest.mark.parametrize(
    "command",
    [
        *((command[0], NOWHERE, *command[2:]) for command in COMMANDS),
        *((name, NOWHERE) for name in ("workers", "doctor", "migrate")),
    ],
    ids=lambda command: command[0],
)
def test_a_server_that_is_not_there_is_named_at_once_and_no_password_is(place, command, snapshot):
    place.write({})
    done = place.run(*command)
    assert done.returncode in (1, 2)
    assert "postgresql://me@127.0.0.1:1/events" in done.stderr
    assert plain(done.stderr) == snapshot
    assert "secret" not in done.stderr
    assert done.stderr.count("\n") == 1


@over_kept
def test_nobodys_code_is_imported(place):
    (place.path / "loud.py").write_text(
        "print('imported', flush=True)\n"
        "from lionpride.core import Event\n"
        "class Loud(Event):\n"
        "    async def _invoke(self):\n"
        "        raise ValueError('told to')\n"
    )
    place.write({})
    assert "imported" in place.run("run", "loud.py:Loud", *place.keeping).stdout
    (place.path / "loud.py").unlink()
    (event,) = place.store("ls", place.kept, "--json")
    assert event["kind"] == "loud.Loud"
    alone = {"parents": [], "children": []}
    assert place.store("show", place.kept, event["id"], "--json") == [event | alone]
    assert place.run("retry", place.kept, event["id"]).returncode == 0
    assert place.run("export", place.kept, "-o", "all.jsonl").returncode == 0
    assert place.run("import", "all.jsonl", "copy.db").returncode == 0
    assert place.run("cancel", place.kept, event["id"]).returncode == 0


@over_kept
def test_everything_works_while_another_process_runs_the_file(place):
    place.write(*[{}] * 20)
    command = ("run", "job.py:Held", *place.keeping, "--concurrency", "2")
    with place.start(*command) as process, ExitStack() as stack:
        stack.callback(process.kill)
        assert process.stdout.readline() == "running\n"
        assert process.stdout.readline() == "running\n"
        (counts,) = place.store("counts", place.kept, "--json")
        assert (counts["pending"], counts["processing"]) == (18, 2)
        events = place.store("ls", place.kept, "--json")
        assert [e["status"] for e in events].count("processing") == 2
        waits, runs = events[0], next(e for e in events if e["status"] == "processing")
        answers = place.store("cancel", place.kept, waits["id"], runs["id"], "--json")
        assert [a["answer"] for a in answers] == ["done", "claimed"]
        for _ in range(100):
            if place.store("show", place.kept, runs["id"], "--json")[0]["status"] == "cancelled":
                break
            time.sleep(0.05)
        assert place.store("ls", place.kept, "--status", "cancelled", "--json") != []
        sent = place.store("retry", place.kept, "--status", "cancelled", "--json", "--yes")
        assert {e["id"] for e in sent} == {waits["id"], runs["id"]}
        assert len(place.store("export", place.kept)) == 20
        (place.path / "release").touch()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    (counts,) = place.store("counts", place.kept, "--json")
    assert counts["completed"] == 20
    assert "completed      20  100.0%" in out


def test_a_reader_that_goes_away_is_not_missed(place):
    fill(place.path / "run.db")
    for command in (("ls", "run.db", "--json"), ("export", "run.db"), ("counts", "run.db")):
        process = place.start(*command)
        process.stdout.close()
        err = process.stderr.read()
        process.wait(30)
        assert (process.returncode, err) == (0, ""), command
        process.stderr.close()
        process.stdin.close()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
@pytest.mark.parametrize("command", [("ls", "run.db"), ("counts", "run.db")])
def test_a_terminal_gets_a_drawn_table(place, command):
    fill(place.path / "run.db")
    ours, theirs = os.openpty()
    env = {**place.env, "TERM": "xterm", "COLUMNS": "150"}
    env.pop("NO_COLOR", None)
    process = subprocess.Popen(place.command(*command), cwd=place.path, env=env, stdout=theirs)
    os.close(theirs)
    drawn = b""
    try:
        while data := os.read(ours, 65536):
            drawn += data
    except OSError:
        pass
    os.close(ours)
    assert process.wait(30) == 0
    assert b"\x1b[" in drawn
    assert "─".encode() in drawn
    assert b"failed" in drawn
    assert b"\x1b[31mfail" not in drawn, "what the file says is not obeyed"


def test_a_url_is_as_good_as_a_path(place):
    fill(place.path / "run.db")
    assert len(place.store("ls", "sqlite:///run.db", "--json")) == EVENTS
    assert len(place.store("ls", f"sqlite:///{place.path}/run.db", "--json")) == EVENTS


def test_lines_of_json_are_in_ascii(place):
    place.write({"name": "é\u2028"})
    assert place.run("run", "job.py:Work", *RUN).returncode == 0
    done = place.run("export", "run.db")
    assert done.stdout.isascii()
    assert json.loads(done.stdout)["payload"]["name"] == "é\u2028"
