"""`lionpride workers`: who works on a store, and what each holds."""

import os
import signal

from cli.test_work import put, working
from kept import over_kept


@over_kept
def test_it_says_who_works_and_what_each_holds(place):
    put(place, "job.py:Held", 3)
    with working(place, "job.py:Held", "--concurrency", "2") as process:
        for _ in range(2):
            assert process.stdout.readline() == "running\n"
        (worker,) = place.store("workers", place.kept, "--json")
        assert (worker["pid"], worker["queue"]) == (process.pid, "job.Held")
        assert (worker["alive"], worker["host"]) == (True, os.uname().nodename)
        assert 0 <= worker["silent"] < 60
        assert [each["kind"] for each in worker["held"]] == ["job.Held"] * 2
        listed = place.store("ls", place.kept, "--status", "processing", "--json")
        assert [each["id"] for each in worker["held"]] == [each["id"] for each in reversed(listed)]
        said = place.run("workers", place.kept).stdout
        head, row, held, *_ = filter(None, said.splitlines())
        assert head.split() == ["worker", "queue", "host", "pid", "since", "seen", "holds"]
        assert row.split()[0] == worker["name"]
        assert row.split()[-1] == "2"
        assert held.split() == ["worker", "number", "id", "kind", "attempt"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        (worker,) = place.store("workers", place.kept, "--json")
        assert (worker["alive"], len(worker["held"])) == (False, 2)
        assert "dead, " in place.run("workers", place.kept).stdout


@over_kept
def test_a_store_without_a_worker_says_how_there_is_one(place):
    put(place, "job.py:Held", 1)
    done = place.run("workers", place.kept)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no worker is running" in done.stdout
    assert place.store("workers", place.kept, "--json") == []
