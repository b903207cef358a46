"""Ctrl-C: once to stop, twice to interrupt at once; nothing is lost without being named."""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli.texts import plain

ROOT = Path(__file__).parents[2]
RUN = ("--input", "events.jsonl", "--output", "results.jsonl", "--timeline", "run.svg")


@contextlib.contextmanager
def running(place, target, number=3, *options):
    """A run of events, begun: the first of them has said so."""
    place.write(*[{}] * number)
    process = place.start("run", f"job.py:{target}", *RUN, "--concurrency", "1", *options)
    with killed_at_last(process):
        assert process.stdout.readline() == "running\n", process.communicate()
        yield process


def spoken_to(command, **how):
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **both, **how)  # type: ignore[call-overload]


@contextlib.contextmanager
def killed_at_last(process):
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("target", ["Held", "Plain"])
@pytest.mark.parametrize(
    ("number", "code", "again"),
    [(signal.SIGINT, 130, "Ctrl-C again"), (signal.SIGTERM, 143, "SIGTERM again")],
)
def test_the_first_signal_lets_finish_what_runs(place, number, code, again, target, snapshot):
    with running(place, target) as process:
        process.send_signal(number)
        said = process.stderr.readline()
        assert again in said
        assert said == snapshot
        (place.path / "release").touch()
        out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert [(r["line"], r["status"]) for r in place.results()] == [(1, "completed")]
    assert "2 left" in out
    assert err == ""
    assert "not started 2" in (place.path / "run.svg").read_text()


@pytest.mark.promise("signals")
@pytest.mark.parametrize("target", ["Held", "Plain"])
def test_after_sigterm_the_same_command_runs_what_is_left(place, target, snapshot):
    with running(place, target, 3, "--store", "run.db") as process:
        process.send_signal(signal.SIGTERM)
        assert "SIGTERM again" in process.stderr.readline()
        (place.path / "release").touch()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "2 left" in out
    assert plain(out) == snapshot
    done = place.run("run", f"job.py:{target}", *RUN, "--concurrency", "1", "--store", "run.db")
    assert done.returncode == 0
    assert sorted(each["line"] for each in place.results()) == [1, 2, 3]
    assert {each["status"] for each in place.results()} == {"completed"}


@pytest.mark.parametrize("target", ["Held", "Plain"])
def test_sigterm_twice_leaves_what_ran_to_the_next_run(place, target):
    with running(place, target, 2, "--store", "run.db") as process:
        process.send_signal(signal.SIGTERM)
        assert "SIGTERM again" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "2 left" in out
    (counts,) = place.store("counts", "run.db", "--json")
    assert (counts["pending"], counts["processing"]) == (2, 0)


def test_the_second_signal_stops_at_once(place):
    with running(place, "Held") as process:
        process.send_signal(signal.SIGINT)
        assert "Ctrl-C again" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert place.results() == []
    assert "3 left" in out
    assert "Traceback" not in err


@pytest.mark.parametrize("kept", [True, False])
def test_after_the_grace_time_what_runs_is_interrupted_and_left(place, kept):
    store = ("--store", "run.db") if kept else ()
    with running(place, "Held", 2, "--grace", "0.2", *store) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "the grace time of 0.2 s is over: 1 running event was interrupted" in err
    assert ("will run again" in err) == kept
    assert "2 left" in out
    assert place.results() == []
    if kept:
        (counts,) = place.store("counts", "run.db", "--json")
        assert (counts["pending"], counts["processing"]) == (2, 0)


@pytest.mark.parametrize("target", ["Blocking", "InThread"])
def test_code_that_does_not_let_go_is_left(place, target):
    with running(place, target) as process:
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
    assert process.returncode == 130


def test_a_signal_while_waiting_for_input_ends_the_wait(place, snapshot):
    with place.start("run", "job.py:Held", "--input", "-") as process:
        process.stdin.write("{}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "running\n"
        (place.path / "release").touch()
        process.send_signal(signal.SIGINT)
        out = process.stdout.read()  # its input stays open
    assert process.returncode == 130
    assert "1 event in" in out
    assert plain(out) == snapshot


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_display_that_is_taken_down(place):
    ours, theirs = os.openpty()
    place.write(*[{}] * 3)
    (place.path / "release").touch()
    command = place.command("run", "job.py:Held", *RUN)
    env = {**place.env, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(
        command, cwd=place.path, env=env, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        drawn = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while data := os.read(ours, 65536):
                drawn += data
        out = process.stdout.read().decode()
    os.close(ours)
    assert process.returncode == 0
    assert b"Held" in drawn
    assert b"elapsed" in drawn
    assert drawn.rindex(b"\x1b[?25h") > drawn.rindex(b"\x1b[?25l")
    assert "3 events" in out


def test_code_that_was_left_behind_does_not_keep_the_process(place, snapshot):
    place.write({}, {})
    done = place.run("run", "job.py:Stubborn", *RUN, "--timeout", "0.1")
    assert done.returncode == 1
    assert [r["status"] for r in place.results()] == ["cancelled", "cancelled"]
    assert "2 events" in done.stdout
    assert done.stderr.splitlines()[-1] == snapshot


def test_a_thread_that_was_left_behind_is_waited_for_until_a_signal(place, snapshot):
    with running(place, "InThread", 1, "--timeout", "0.1") as process:
        while not process.stdout.readline().startswith("timeline"):
            pass  # the summary is all there
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == snapshot
    assert [r["status"] for r in place.results()] == ["cancelled"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_background_job_of_a_script_hears_a_signal_at_its_end_too(place, number, snapshot):
    """A shell without job control starts it with SIGINT ignored."""
    place.write({})
    command = " ".join(place.command("run", "job.py:InThread", *RUN, "--timeout", "0.1"))
    process = spoken_to(["sh", "-c", f"trap '' INT; exec {command}"], cwd=place.path, env=place.env)
    with killed_at_last(process):
        while not process.stdout.readline().startswith("timeline"):
            pass
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert err == snapshot


FILLING = """
import asyncio, fcntl, time
from lionpride.core import Event

class Filling(Event):
    async def _invoke(self):
        # no room is left in the pipe for what is said after it, and a thread is left behind
        print("x" * (fcntl.fcntl(1, fcntl.F_GETPIPE_SZ) - 1), flush=True)
        await asyncio.to_thread(time.sleep, 1000)
"""


@pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="needs a pipe whose size is known")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_end_is_told_is_the_only_one_that_is_needed(place, number, snapshot):
    """It comes after the last event and before the wait for the thread."""
    (place.path / "filling.py").write_text(FILLING)
    place.write({})
    process = place.start("run", "filling.py:Filling", *RUN, "--timeout", "0.1")
    with killed_at_last(process):
        drawn = place.path / "run.svg"
        while not (drawn.exists() and drawn.stat().st_size):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)  # the summary waits for somebody to read it
        out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "1 event in" in out
    assert err == snapshot


CLOSING = """
import asyncio
from lionpride.cli.interrupts import Interrupts

async def main(interrupts):
    with interrupts.listen():
        pass
    print("over", flush=True)
    await asyncio.Event().wait()  # a server that cannot be reached

with Interrupts() as interrupts:
    asyncio.run(main(interrupts))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_is_enough_for_a_store_that_does_not_close(place, number, snapshot):
    with killed_at_last(spoken_to([sys.executable, "-c", CLOSING], env=place.env)) as process:
        assert process.stdout.readline() == "over\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert err == snapshot


def test_a_task_of_an_events_own_is_cancelled_at_the_end(place):
    place.write({})
    done = place.run("run", "job.py:Sowing", *RUN)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cleaned up" in done.stdout


@pytest.mark.skipif(not (shutil.which("jq") and shutil.which("awk")), reason="needs jq and awk")
@pytest.mark.parametrize(("ended", "left"), [((), "abc"), ((2,), "ac"), ((3, 1, 2), "")])
def test_the_recipe_of_the_docs_names_what_is_left(tmp_path, ended, left):
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```sh\n(jq .*?)```", text, flags=re.DOTALL)
    results = "".join(f'{{"line": {number}, "status": "failed"}}\n' for number in ended)
    (tmp_path / "results.jsonl").write_text(results)
    (tmp_path / "events.jsonl").write_text("a\nb\nc\n")
    subprocess.run(["sh", "-ec", recipe], cwd=tmp_path, check=True)
    assert (tmp_path / "left.jsonl").read_text() == "".join(f"{line}\n" for line in left)
