"""`lionpride run --store`: killed at any instant and run again, nothing is lost or done twice."""

import json
import random
import re
import signal
import subprocess
import time
from collections import Counter

import pytest
from cli.texts import plain
from kept import over_kept

from lionpride.cli.store.location import locate_store
from lionpride.stores.postgres.backend import AHEAD

RUN = ("--input", "events.jsonl", "--output", "results.jsonl", "--store", "sqlite:///run.db")


def journal(place) -> Counter:
    path = place.path / "journal"
    return Counter(path.read_text().splitlines() if path.exists() else ())


def without_times(results):
    return sorted(
        ({**r, "duration": r["duration"] is None} for r in results), key=lambda r: r["line"]
    )


def start_and_kill(place, *options, ends):
    """Start a run, and kill it with SIGKILL once the journal has so many ends."""
    with place.start("run", "job.py:Noted", *place.keeping, *options) as process:
        while process.poll() is None and journal(place).total() < ends:
            time.sleep(0.005)
        process.kill()
        process.communicate()
    return process.returncode


@pytest.mark.promise("command-resumes")
@over_kept
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again_it_ends_with_each_line_once(place, seed):
    chance = random.Random(seed)
    place.write(*({"n": n} for n in range(300)))
    kills = ends = 0
    for _ in range(5):
        ends = journal(place).total() + chance.randrange(20, 100)
        kills += start_and_kill(place, "--concurrency", "8", ends=ends) == -signal.SIGKILL
    assert kills >= 3
    done = place.run("run", "job.py:Noted", *place.keeping)
    assert done.returncode == 1  # some fail, as they were told
    assert done.stderr.startswith(f"resuming from {locate_store(place.url).name}: ")
    assert "had finished before" in done.stdout

    results = place.results()
    assert sorted(r["line"] for r in results) == list(range(1, 301))
    for result in results:
        n = result["line"] - 1
        if n % 10 == 7:
            assert result["status"] == "failed"
            assert 1 <= result["attempts"] <= kills + 1  # an attempt that was killed counts
            assert result["error"]["message"] == f"told to by {n}"
        else:
            assert (result["status"], result["response"]) == ("completed", {"n": n})
    ended = journal(place)
    assert all(ended[f"end {n}"] for n in range(300)), "every event has run to its end"
    twice = sum(ended[f"start {n}"] > 1 for n in range(300))
    # A file commits a claim with, or after, what ended before it. A server is told of both over
    # connections of their own: so much may have ended besides, and not be on record.
    each = (1 + AHEAD) * 8 if place.url.startswith("postgresql") else 8
    assert twice <= each * kills, "only what ran at a kill runs again"
    (counts,) = place.store("counts", place.url, "--json")
    assert (counts["completed"], counts["failed"]) == (270, 30)
    assert counts["pending"] == counts["processing"] == 0

    again = place.run("run", "job.py:Noted", *place.keeping)
    assert "270 done, 30 failed, 0 left" in again.stderr
    assert "0 events in" in again.stdout
    assert journal(place) == ended
    assert sorted(r["line"] for r in place.results()) == list(range(1, 301))


@over_kept
def test_a_result_of_an_earlier_run_is_written_as_it_was(place):
    place.write(*({"n": n} for n in range(20)))
    assert place.run("run", "job.py:Noted", *place.keeping).returncode == 1
    first = {r["line"]: r for r in place.results()}
    (place.path / "results.jsonl").unlink()
    assert place.run("run", "job.py:Noted", *place.keeping).returncode == 1
    assert {r["line"]: r for r in place.results()} == first


def test_results_that_are_no_plain_json_are_written_as_without_a_store(place):
    (place.path / "odd.py").write_text(
        "import datetime, math\n"
        "from lionpride.core import Event\n"
        "class Odd(Event):\n"
        "    async def _invoke(self):\n"
        "        return {'a': (1, math.nan, b'x'), 'é': datetime.date(2020, 1, 2), 'o': object,\n"
        "                3: 4, '$x': 10**30}\n"
    )
    place.write({}, {})
    plain, kept = ("--output", "plain.jsonl"), ("--output", "kept.jsonl", "--store", "run.db")
    for how in (plain, kept, kept):
        done = place.run("run", "odd.py:Odd", "--input", "events.jsonl", *how)
        assert done.returncode == 0, done.stderr

    def read(name):
        return [
            {k: v for k, v in r.items() if k not in ("id", "duration")} for r in place.results(name)
        ]

    assert read("kept.jsonl") == read("plain.jsonl")


def test_only_lines_that_are_new_are_run(place):
    place.write({"n": 1}, {"n": 2})
    assert place.run("run", "job.py:Noted", *RUN).returncode == 0
    place.write({"n": 1}, {"n": 20}, {"n": 3})
    done = place.run("run", "job.py:Noted", *RUN)
    assert done.returncode == 0
    assert "1 done, 0 failed, 2 left" in done.stderr
    assert [journal(place)[f"end {n}"] for n in (1, 2, 20, 3)] == [1, 1, 1, 1]
    assert {r["line"]: r["response"]["n"] for r in place.results()} == {1: 1, 2: 20, 3: 3}
    assert "3" in done.stdout.splitlines()[2]  # completed: those of before are counted


def test_a_line_with_an_id_of_its_own_keeps_it(place):
    same = "00000000-0000-0000-0000-000000000001"
    place.write({"id": same, "n": 1})
    assert place.run("run", "job.py:Noted", *RUN).returncode == 0
    place.write({"n": 5}, {"id": same, "n": 1})
    assert place.run("run", "job.py:Noted", *RUN).returncode == 0
    assert journal(place)["end 1"] == 1
    assert {r["line"]: r["id"] for r in place.results()}[2] == same


def test_left_over_events_that_are_no_lines_run_too_and_are_told_apart(place):
    place.write({"n": 1}, {"n": 2}, {"n": 3})
    assert start_and_kill(place, "--capacity", "1", "--refresh", "60", ends=2) == -signal.SIGKILL
    place.write({"n": 5})
    done = place.run("run", "job.py:Noted", *RUN)
    assert done.returncode == 0
    assert "1 event in" in done.stdout
    # Two, or three: what had ended but was not on record when the process died runs again.
    assert re.search("[23] events of the queue that are not in the input ran too", done.stdout)
    assert [r["line"] for r in place.results()] == [1]
    assert journal(place)["end 3"] == 1


@over_kept
def test_fresh_removes_this_queue_and_no_other(place, snapshot):
    place.write({"n": 1}, {"n": 7})
    assert place.run("run", "job.py:Noted", *place.keeping).returncode == 1
    assert place.run("run", "job.py:Noted", *place.keeping, "--queue", "other").returncode == 1
    done = place.run("run", "job.py:Noted", *place.keeping, "--fresh")
    assert done.returncode == 1
    assert plain(done.stderr, STORE=locate_store(place.url).name) == snapshot
    assert "had finished before" not in done.stdout
    assert journal(place)["end 1"] == 3
    assert {c["queue"]: c["completed"] for c in place.store("counts", place.url, "--json")} == {
        "job.Noted": 1,
        "other": 1,
    }


@over_kept
def test_fresh_removes_what_waits_and_what_a_killed_process_held(place):
    place.write(*({"n": n} for n in range(700)))
    start_and_kill(place, "--concurrency", "4", ends=20)
    place.write({"n": 1000})
    done = place.run("run", "job.py:Noted", *place.keeping, "--fresh")
    assert done.returncode == 0
    assert "removed 700 events" in done.stderr
    assert [e["payload"]["n"] for e in place.store("ls", place.url, "--json")] == [1000]


OTHER = ("--output", "other.jsonl")  # one file cannot be written by two


@over_kept
def test_fresh_leaves_alone_what_another_process_runs(place, snapshot):
    place.write({}, {})
    with place.start("run", "job.py:Held", *place.keeping) as process:
        assert process.stdout.readline() == "running\n"
        done = place.run("run", "job.py:Held", *place.keeping, *OTHER, "--fresh")
        assert done.returncode == 2
        assert plain(done.stderr, STORE=locate_store(place.url).name) == snapshot
        (place.path / "release").touch()
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert len(place.results()) == 2


def test_fresh_if_done_goes_on_while_something_is_left(place):
    place.write(*({"n": n} for n in range(100)))
    again = ("run", "job.py:Noted", *RUN, "--fresh-if-done")
    start_and_kill(place, "--concurrency", "2", ends=20)
    done = place.run(*again)
    assert "resuming" in done.stderr
    done = place.run(*again)
    assert "starting again: removed 100 events" in done.stderr
    assert "100 events in" in done.stdout


@over_kept
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_file_in_order_and_the_next_run_goes_on(place, number, code, snapshot):
    place.write({}, {}, {})
    with place.start("run", "job.py:Held", *place.keeping, "--concurrency", "1") as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(number)
        assert process.stderr.readline() == snapshot
        (place.path / "release").touch()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == code
    assert "2 left" in out
    assert plain(out, STORE=locate_store(place.url).name) == snapshot
    (counts,) = place.store("counts", place.url, "--json")
    assert (counts["completed"], counts["pending"], counts["processing"]) == (1, 2, 0)
    done = place.run("run", "job.py:Held", *place.keeping)
    assert (done.returncode, done.stderr) == (
        0,
        f"resuming from {locate_store(place.url).name}: 1 done, 0 failed, 2 left\n",
    )
    assert [r["line"] for r in place.results()] == [1, 2, 3]


@over_kept
def test_the_second_signal_sends_back_what_ran(place):
    place.write({})
    with place.start("run", "job.py:Held", *place.keeping) as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        assert "Ctrl-C again" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    events = place.store("ls", place.url, "--json")
    assert [(e["status"], e["interruptions"], e["failure_count"]) for e in events] == [
        ("pending", 1, 0)
    ]


@over_kept
def test_two_processes_share_the_lines_and_each_has_all_results(place):
    place.write({"size": 1})  # the file is there: that two may make it at once is for the store
    assert place.run("run", "job.py:Work", *place.keeping).returncode == 0
    place.write(*({"n": 10 * n} for n in range(400)))
    command = (
        "run",
        "job.py:Noted",
        *place.keeping[:2],
        "--store",
        place.url,
        "--concurrency",
        "3",
    )
    both = [place.start(*command, "--output", f"r{i}.jsonl") for i in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert {count for what, count in journal(place).items() if what.startswith("end")} == {1}
    for i in range(2):
        assert sorted(r["line"] for r in place.results(f"r{i}.jsonl")) == list(range(1, 401))
        assert "completed     400  100.0%" in said[i][0]


def test_what_is_retried_while_it_runs_has_its_last_result(place):
    (place.path / "job2.py").write_text(
        "import asyncio\n"
        "from pathlib import Path\n"
        "from lionpride.core import Event\n"
        "class Once(Event):\n"
        "    last: bool = False\n"
        "    async def _invoke(self):\n"
        "        if self.last:\n"
        "            print('running', flush=True)\n"
        "            while not Path('release').exists():\n"
        "                await asyncio.sleep(0.01)\n"
        "        elif not Path('mended').exists():\n"
        "            raise ValueError('broken')\n"
    )
    place.write({}, {"last": True})
    with place.start("run", "job2.py:Once", *RUN) as process:
        assert process.stdout.readline() == "running\n"
        (place.path / "mended").touch()
        (failed,) = place.store("ls", "run.db", "--status", "failed", "--json")
        assert place.run("retry", "run.db", failed["id"]).stdout == "1 event is pending again\n"
        time.sleep(0.5)
        (place.path / "release").touch()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, out + err
    assert {r["line"]: r["status"] for r in place.results()} == {1: "completed", 2: "completed"}


@over_kept
def test_an_event_that_is_cancelled_by_another_process_is_counted(place):
    place.write({}, {})
    with place.start("run", "job.py:Held", *place.keeping, "--concurrency", "1") as process:
        assert process.stdout.readline() == "running\n"
        while len(listed := place.store("ls", place.url, "--json")) < 2:
            assert process.poll() is None
        waits, runs = listed  # the newest first
        done = place.run("cancel", place.url, waits["id"], runs["id"])
        assert done.returncode == 0
        assert "cancelled" in done.stdout
        assert "asked to cancel" in done.stdout
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "cancelled       2" in out
    assert {r["line"]: r["status"] for r in place.results()} == {1: "cancelled", 2: "cancelled"}


def test_a_pipe_is_resumed_as_well(place):
    lines = "".join(f'{{"n": {n}}}\n' for n in range(30))
    command = ("run", "job.py:Noted", "--input", "-", "--output", "-", "--store", "run.db")
    first = place.run(*command, stdin=lines[: len(lines) // 2].rpartition("\n")[0])
    second = place.run(*command, stdin=lines)
    results = [json.loads(line) for line in second.stdout.splitlines()]
    assert sorted(r["line"] for r in results) == list(range(1, 31))
    assert set(first.stdout.splitlines()) <= set(second.stdout.splitlines())
    assert max(journal(place).values()) == 1


def test_a_queue_with_a_bound_is_filled_as_there_is_room(place):
    (place.path / "narrow.py").write_text(
        "from job import Narrow\n"
        "class Tight(Narrow):\n"
        "    def __init__(self, processor_config=None, **kwargs):\n"
        "        config = {'max_queue_size': 7, **(processor_config or {})}\n"
        "        super(Narrow, self).__init__(config, **kwargs)\n"
    )
    place.write(*({"size": n} for n in range(40)))
    for _ in range(2):
        done = place.run("run", "narrow.py:Tight", *RUN)
        assert done.returncode == 0, done.stderr
        assert sorted(r["line"] for r in place.results()) == list(range(1, 41))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--fresh",), "--fresh does nothing without --store"),
        (("--queue", "q"), "--queue does nothing without --store"),
        (("--store", "mysql://x"), "write the path of a file"),
        (("--store", "job.py"), "is no SQLite database"),
        (("--store", "events.jsonl"), "--input events.jsonl is also the file of --store"),
        (("--store", "nowhere/run.db"), "the directory"),
        (("--store", "sqlite:///run.db?speed=9"), "'speed' is no option"),
        (("--store", "out.jsonl", "--output", "out.jsonl"), "is also the file of --store"),
        (("--store", "run.db", "--output", "run.db-wal"), "is also the file of --store"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_run(place, options, words):
    place.write({})
    before = {path.name for path in place.path.iterdir()} | {"out.jsonl"}
    done = place.run("run", "job.py:Noted", "--input", "events.jsonl", *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name for path in place.path.iterdir()} <= before


def test_an_executor_that_takes_no_store_is_told_what_to_do(place, snapshot):
    place.write({})
    done = place.run("run", "job.py:Narrow", *RUN)
    assert done.returncode == 2
    assert done.stderr == snapshot


def test_a_store_that_is_locked_for_good_stops_the_run_and_is_told(place):
    place.write(*[{}] * 3)
    with place.start(
        "run", "job.py:Held", *RUN[:4], "--store", "sqlite:///run.db?patience=0.2"
    ) as run:
        assert run.stdout.readline() == "running\n"
        script = (
            "import apsw, sys\n"
            "db = apsw.Connection('run.db')\n"
            "db.execute('BEGIN IMMEDIATE')\n"
            "print('locked', flush=True)\n"
            "sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [*place.command()[:1], "-c", script],
            cwd=place.path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as locker:
            assert locker.stdout.readline() == "locked\n"
            (place.path / "release").touch()
            out, err = run.communicate(timeout=60)
            locker.communicate("")
    assert run.returncode == 1
    assert "locked by another process" in err
    assert "3 left" in out
    done = place.run("run", "job.py:Held", *RUN)
    assert done.returncode == 0
    assert len(place.results()) == 3
