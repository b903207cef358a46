"""`lionpride tail`: what an event reports is printed as it arrives, whichever process runs it."""

import json
import signal
import textwrap

from cli.sample_store import fill
from cli.test_work import put, working
from kept import over_kept

from lionpride.cli import main


def one_id(place):
    (record,) = place.store("ls", place.kept, "--json")
    return record["id"]


@over_kept
def test_a_stream_is_followed_to_its_end(place):
    put(place, "job.py:Chunks", 0, fields=[{}])
    tail = place.start("tail", place.kept, one_id(place), "--target", "job.py", "--json")
    assert json.loads(tail.stdout.readline()) == {"status": "pending"}
    done = place.run("work", "job.py:Chunks", "--store", place.kept, "--until-empty")
    assert done.returncode == 0, done.stderr
    out, err = tail.communicate(timeout=60)
    assert (tail.returncode, err) == (0, "")
    assert place.lines(out) == [*({"chunk": n} for n in range(3)), {"status": "completed"}]


@over_kept
def test_a_failure_is_printed_and_is_the_exit_status(place):
    put(place, "job.py:Choose", 0, fields=[{"how": "raise"}])
    tail = place.start("tail", place.kept, one_id(place), "--target", "job.py")
    assert tail.stdout.readline() == "pending\n"
    place.run("work", "job.py:Choose", "--store", place.kept, "--until-empty")
    out, _ = tail.communicate(timeout=60)
    assert tail.returncode == 1
    assert out.startswith("failed: ")
    assert "told to" in out


@over_kept
def test_ctrl_c_ends_it_and_the_event_goes_on(place):
    put(place, "job.py:Held", 1)
    with working(place, "job.py:Held") as process:
        assert process.stdout.readline() == "running\n"
        tail = place.start("tail", place.kept, one_id(place), "--target", "job.py")
        assert tail.stdout.readline() == "processing\n"
        tail.send_signal(signal.SIGINT)
        _, err = tail.communicate(timeout=60)
        assert (tail.returncode, err) == (130, "lionpride: interrupted\n")
        assert place.store("ls", place.kept, "--json")[0]["status"] == "processing"


def test_a_finished_event_is_printed_at_once(kept, capsys):
    ids = fill(kept)
    (failed,) = ids["deeds", "failed"]
    assert main(["tail", kept, failed]) == 1
    assert capsys.readouterr().out == "failed\n"


def test_the_class_has_to_be_imported(place):
    put(place, "job.py:Held", 1)
    done = place.run("tail", place.kept, one_id(place))
    assert done.returncode == 2
    assert "job.Held is not imported: name its module" in done.stderr


@over_kept
def test_progress_is_printed_as_it_is_reported(place):
    (place.path / "steps.py").write_text(
        textwrap.dedent("""
            import asyncio
            from pathlib import Path
            from lionpride.core import Event

            class Steps(Event):
                async def _invoke(self):
                    self.progress(0.5, "half")
                    while not Path("release").exists():
                        await asyncio.sleep(0.01)
            """)
    )
    put(place, "steps.py:Steps", 1)
    with working(place, "steps.py"):
        tail = place.start("tail", place.kept, one_id(place), "--target", "steps.py", "--json")
        tail.stdout.readline()  # its status
        assert json.loads(tail.stdout.readline()) == {"fraction": 0.5, "note": "half"}
        place.write(name="release")
        out, _ = tail.communicate(timeout=60)
        assert (tail.returncode, place.lines(out)) == (0, [{"status": "completed"}])


def change_of(tail):
    """The next change that is printed, without time and number."""
    told = json.loads(tail.stdout.readline())
    assert told.pop("at") > 0
    assert told.pop("number") > 0
    return told


@over_kept
def test_all_events_of_a_store_are_followed(place):
    put(place, "job.py:Work", 1)  # is there already, and not printed
    tail = place.start("tail", place.kept, "--json")
    assert tail.stderr.readline().startswith("following the events of ")
    choose = ("append", place.kept, "job.py:Choose", "how=raise", "--json")
    (told,) = place.store(*choose)
    event = {"id": told["id"], "kind": "job.Choose", "queue": told["queue"]}
    assert change_of(tail) == event | {"status": "pending"}
    place.run("work", "job.py:Choose", "--store", place.kept, "--until-empty", "--quiet")
    if (change := change_of(tail))["status"] == "processing":
        change = change_of(tail)
    assert change == event | {"status": "failed"}
    place.store("retry", place.kept, event["id"], "--json")
    assert change_of(tail) == event | {"status": "pending"}
    place.store("cancel", place.kept, event["id"], "--json")
    assert change_of(tail) == event | {"status": "cancelled"}
    (told,) = place.store(*choose, "--queue", "later")  # a queue that is made now
    event |= {"id": told["id"], "queue": "later"}
    assert change_of(tail) == event | {"status": "pending"}
    tail.send_signal(signal.SIGINT)
    out, err = tail.communicate(timeout=60)
    assert (tail.returncode, out, err) == (130, "", "lionpride: interrupted\n")


def test_one_queue_is_followed_as_text(place):
    fill(str(place.path / "run.db"), "a", "b")

    def append(queue):
        done = place.run("append", "run.db", "job.py:Work", "--queue", queue)
        assert done.returncode == 0, done.stderr

    with place.start("tail", "run.db", "--queue", "b") as tail:
        tail.stderr.readline()
        append("a")
        append("b")
        assert tail.stdout.readline().split()[3:] == ["job.Work", "pending", "b"]
        tail.stdout.close()  # as by `head -1`
        append("b")
        assert tail.wait(60) == 0


def test_a_target_without_an_event_is_refused(kept, capsys):
    fill(kept)
    assert main(["tail", kept, "--target", "job.py"]) == 2
    assert "--target does nothing without ID" in capsys.readouterr().err
    assert main(["tail", kept, "--queue", "none"]) == 2
