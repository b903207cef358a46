"""`lionpride doctor`: what is wrong with a store, each with what to do about it."""

import asyncio
import os
import re
import signal
import textwrap
from dataclasses import replace

import pytest
from cli.test_work import counts, put, working
from cli.texts import plain
from kept import over_kept
from stores.sqlite.newer import be_newer

from lionpride import Event, Every, Executor
from lionpride.cli import main


def findings(place, *options, status):
    """What it finds; the tests' server does not wait for its disk, which is noted, and right."""
    done = place.run("doctor", place.kept, "--json", *options)
    assert (done.returncode, done.stderr) == (status, "")
    return [each for each in place.lines(done.stdout) if each["check"] != "fsync"]


@over_kept
def test_a_store_that_is_well(place):
    assert place.run("migrate", place.kept).returncode == 0
    assert findings(place, status=0) == []
    said = place.run("doctor", place.kept).stdout
    assert "no problems found" in said


@over_kept
def test_nobody_works_on_what_waits(place, snapshot):
    put(place, "job.py:Held", 3)
    (one,) = findings(place, status=1)
    assert (one["check"], one["level"]) == ("worker", "wrong")
    assert f"--store {place.kept}" in one["remedy"]
    said = place.run("doctor", place.kept)
    assert said.returncode == 1
    assert all(text in said.stdout for text in (one["what"], one["remedy"]))
    assert plain(f"{one['what']}\n{one['remedy']}", STORE=place.kept) == snapshot


@over_kept
def test_a_dead_worker_holds_events_and_nobody_takes_them_over(place):
    put(place, "job.py:Held", 2)
    with working(place, "job.py:Held", "--concurrency", "1") as process:
        assert process.stdout.readline() == "running\n"
        assert findings(place, status=0) == []
        process.send_signal(signal.SIGKILL)
        process.wait()
    worker, leases = findings(place, status=1)
    assert (worker["check"], leases["check"]) == ("worker", "leases")
    assert f"process {process.pid}" in leases["what"]
    assert "'job.Held'" in leases["what"]


@over_kept
def test_a_class_that_no_worker_has(place, snapshot):
    (place.path / "other.py").write_text(
        textwrap.dedent("""
            from lionpride.core import Event
            class Known(Event):
                async def _invoke(self):
                    return 1
            """)
    )
    put(place, "job.py:Work", 2, queue="mixed")
    found = findings(place, "--target", "other.py", status=1)
    assert [each["check"] for each in found] == ["worker", "classes"]
    assert "job.Work" in found[1]["what"]
    assert plain(found[1]["what"]) == snapshot
    with working(place, "other.py", "--queue", "mixed") as process:
        while "not defined" not in process.stderr.readline():
            assert process.poll() is None
        (stuck,) = findings(place, status=1)
    assert stuck["check"] == "stuck"
    assert "job.Work" in stuck["what"]
    command = re.search(r"lionpride (why \S+ --store) \S+ explains", stuck["remedy"])[1].split()
    assert place.run(*command, place.kept).returncode == 0


LIMITED = """
from lionpride import Executor, Limit, job

@job
async def call(n: int) -> int:
    print("ran", flush=True)
    return n

limited = Executor.of(call, limits=[Limit("requests", 1, per=3600)])
"""


@over_kept
def test_events_that_wait_for_a_limit_or_a_pause_are_no_fault(place):
    (place.path / "limited.py").write_text(LIMITED)
    put(place, "limited.py:call", 3)
    with working(place, "limited.py:limited") as process:
        assert process.stdout.readline() == "ran\n"
        while counts(place)["limited.call"].get("completed") != 1:
            assert process.poll() is None
        assert findings(place, status=0) == []
    put(place, "job.py:Work", 2)
    asyncio.run(pause(place.url, "job.Work"))
    with working(place, "job.py:Work") as process:
        assert "paused" in process.stderr.readline()
        assert findings(place, "--queue", "job.Work", status=0) == []


async def pause(url, queue):
    """Pause a queue, as a program does."""
    executor = Executor.of(Event, store=url, queue=queue)
    await executor.pause(scope="queue")
    await executor.store.close()


def test_an_old_schema_is_named_and_left(place, monkeypatch, capsys):
    monkeypatch.chdir(place.path)
    assert main(["migrate", "run.db"]) == 0
    be_newer(monkeypatch)
    capsys.readouterr()
    assert main(["doctor", "run.db", "--json"]) == 1
    (one,) = place.lines(capsys.readouterr().out)
    assert (one["check"], one["level"]) == ("schema", "wrong")
    assert "lionpride migrate run.db" in one["remedy"]
    assert main(["migrate", "run.db", "--check"]) == 1


def test_what_is_not_there_is_not_made(place):
    done = place.run("doctor", "gone.db")
    assert done.returncode == 2
    assert "no such file" in done.stderr


def test_what_cannot_be_looked_at_is_not_a_finding(tmp_path, capsys):
    path = tmp_path / "jobs.py"
    path.write_text("print('no database')\n" * 100)
    assert main(["doctor", str(path)]) == 2
    assert "jobs.py" in capsys.readouterr().err


DAMAGES = {
    "a page is overwritten": (20_000, b"\xff" * 8192),
    "the table of tables is overwritten": (100, b"\xff" * 3996),
    "it is cut off": (None, b""),
}


@pytest.mark.parametrize(("at", "bytes_"), DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_file(place, at, bytes_):
    put(place, "job.py:Held", 300)
    path = place.path / "run.db"
    if at is None:
        os.truncate(path, path.stat().st_size // 2)
    else:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes_)
    done = place.run("doctor", "run.db", "--json")
    (one,) = place.lines(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert (one["check"], one["level"]) == ("damage", "wrong")
    assert "run.db is damaged" in one["what"]
    assert "restore a backup" in one["remedy"]


BOTH = ("job.py:Held", "job.py:Work")


def test_parents_that_hold_all_slots_while_their_children_wait_are_named(place):
    put(place, "job.py:Held", 2, queue="mixed")
    put(place, "job.py:Work", 3, queue="mixed")
    with working(place, *BOTH, "--queue", "mixed", "--concurrency", "2") as process:
        assert [process.stdout.readline() for _ in range(2)] == ["running\n"] * 2
        (one,) = findings(place, status=0)
        (place.path / "release").touch()
    assert (one["check"], one["level"]) == ("slots", "note")
    assert "2 slots of queue 'mixed' are in use by 2 job.Held, and 3 job.Work wait" in one["what"]


def test_held_slots_are_no_finding_if_nothing_waits(place):
    put(place, "job.py:Held", 2, queue="mixed")
    with working(place, *BOTH, "--queue", "mixed", "--concurrency", "2") as process:
        assert [process.stdout.readline() for _ in range(2)] == ["running\n"] * 2
        assert findings(place, status=0) == []
        (place.path / "release").touch()


class Daily(Event):
    async def _invoke(self):
        return None


@over_kept
@pytest.mark.parametrize("is_paused", [False, True])
def test_a_schedule_that_is_due_and_that_no_worker_fires(place, monkeypatch, is_paused):
    monkeypatch.chdir(place.path)

    async def schedule(name, seconds):
        executor = Executor.of(Daily, store=place.url, queue="reports")
        record = await executor.schedule(name, Daily(), Every(86400))
        due = replace(record, next=executor.store.time() - seconds, is_paused=is_paused)
        assert await executor.store.change_schedule(record, due)
        await executor.store.close()

    asyncio.run(schedule("nightly", 7200))
    asyncio.run(schedule("just now", 1))
    if is_paused:
        assert findings(place, status=0) == []
        return
    (one,) = findings(place, status=1)
    assert (one["check"], one["level"]) == ("schedules", "wrong")
    assert "schedule 'nightly' of queue 'reports' was due 2 h" in one["what"]
    assert f"lionpride work TARGET --store {place.kept}" in one["remedy"]
