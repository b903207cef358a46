"""`lionpride run` as users run it: a process, its files, what it says, and its exit status."""

import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from cli.texts import plain

from lionpride import __version__

FILES = ("--input", "events.jsonl", "--output", "results.jsonl")


def test_every_line_becomes_one_result(place):
    place.write(*({"name": f"n{i}", "size": i} for i in range(1, 301)))
    done = place.run("run", "job.py:Work", *FILES)
    assert (done.returncode, done.stderr) == (0, "")
    results = place.results()
    assert sorted(r["line"] for r in results) == list(range(1, 301))
    assert len({r["id"] for r in results}) == 300
    for result in results:
        line = result["line"]
        assert result["status"] == "completed"
        assert result["response"] == {"name": f"n{line}", "size": line}
        assert result["attempts"] == 1
        assert result["duration"] >= 0
    assert "300 events" in done.stdout
    assert "results.jsonl" in done.stdout


def test_priority_orders_the_whole_file(place):
    place.write(*({"priority": p} for p in (5, 3, 9, 1)), {"priority": 0})
    done = place.run("run", "job.py:Work", *FILES, "--concurrency", "1")
    assert done.returncode == 0
    assert [r["line"] for r in place.results()] == [5, 4, 2, 1, 3]


def test_bad_lines_are_named_and_the_rest_runs(place):
    place.write({"size": 1}, "{broken", "", {"size": "big"}, {"siez": 1}, '["list"]', {"size": 2})
    done = place.run("run", "job.py:Work", *FILES)
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert [line.split(":")[0] for line in said] == ["line 2", "line 4", "line 5", "line 6"]
    assert "size" in said[1]
    assert "did you mean size?" in said[2]
    assert sorted(r["line"] for r in place.results()) == [1, 7]
    assert "4 bad lines" in done.stdout


def test_only_bad_lines_leave_an_empty_results_file(place):
    place.write("nothing")
    (place.path / "results.jsonl").write_text("old\n")
    assert place.run("run", "job.py:Work", *FILES).returncode == 1
    assert place.results() == []


def test_an_id_is_run_once(place):
    same = "00000000-0000-0000-0000-000000000001"
    place.write({"id": same, "name": "first"}, {"name": "other"}, {"id": same, "name": "second"})
    done = place.run("run", "job.py:Work", *FILES)
    assert done.returncode == 1
    assert done.stderr.startswith("line 3: id: ")
    assert "line 1" in done.stderr
    assert sorted(r["response"]["name"] for r in place.results()) == ["first", "other"]


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [("return", "completed", 0), ("skip", "skipped", 0), ("raise", "failed", 1)],
)
def test_the_exit_status_says_whether_anything_failed(place, how, status, code):
    place.write({"how": how}, {"how": "return"})
    done = place.run("run", "job.py:Choose", *FILES)
    assert done.returncode == code
    assert Counter(r["status"] for r in place.results()) == Counter([status, "completed"])
    assert status in done.stdout


def test_a_failure_is_told_with_its_line_and_its_error(place, snapshot):
    place.write({"how": "return"}, {"how": "raise"})
    done = place.run("run", "job.py:Choose", *FILES)
    assert "line 2 failed: ValueError: told to" in done.stdout
    assert plain(done.stdout) == snapshot
    failed = next(r for r in place.results() if r["status"] == "failed")
    assert failed["error"]["error"] == "ValueError"
    assert failed["attempts"] == 1


def test_a_timeout_cancels(place):
    place.write({"how": "hang"}, {"how": "return"})
    done = place.run("run", "job.py:Choose", *FILES, "--timeout", "0.05")
    assert done.returncode == 1
    assert {r["line"]: r["status"] for r in place.results()} == {1: "cancelled", 2: "completed"}


def test_an_event_that_exits_does_not_take_the_report_along(place):
    place.write({"how": "return"}, {"how": "exit", "priority": 9e9})
    done = place.run("run", "job.py:Choose", *FILES, "--concurrency", "1")
    assert done.returncode == 1
    assert "SystemExit" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert {r["line"]: r["status"] for r in place.results()} == {1: "completed", 2: "failed"}


def test_chunks_of_a_stream_are_the_response(place):
    place.write({}, {})
    assert place.run("run", "job.py:Chunks", *FILES).returncode == 0
    assert [r["response"] for r in place.results()] == [[0, 1, 2]] * 2


def test_standard_input_is_read_to_its_end(place):
    lines = "".join(f'{{"size": {i}}}\n' for i in range(1, 2501))
    done = place.run("run", "job.py:Work", "--input", "-", "--output", "out.jsonl", stdin=lines)
    assert done.returncode == 0
    assert sorted(r["response"]["size"] for r in place.results("out.jsonl")) == [*range(1, 2501)]


def test_a_pipe_is_run_and_answered_line_by_line(place):
    with place.start("run", "job.py:Work", "--input", "-", "--output", "-") as process:
        for i in range(1, 4):
            process.stdin.write(f'{{"size": {i}}}\n')
            process.stdin.flush()
            result = json.loads(process.stdout.readline())
            assert (result["line"], result["response"]["size"]) == (i, i)
        process.stdin.close()
        assert process.stdout.read() == ""
        assert "3 events" in process.stderr.read()
    assert process.returncode == 0


def test_an_executor_may_be_named_and_its_limits_set(place):
    place.write(*[{}] * 50)
    done = place.run("run", "job.py:Narrow", *FILES, "--concurrency", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(r["line"] for r in place.results()) == [*range(1, 51)]


def test_an_executor_that_denies_aborts(place):
    place.write({})
    done = place.run("run", "job.py:Denied", *FILES, "--timeline", "run.svg")
    assert done.returncode == 1
    assert [r["status"] for r in place.results()] == ["aborted"]
    assert "settled without running" in (place.path / "run.svg").read_text()


def test_the_limits_hold(place):
    place.write(*[{}] * 30)
    limits = ("--concurrency", "3", "--capacity", "10", "--refresh", "0.05")
    done = place.run("run", "job.py:Work", *FILES, *limits)
    assert done.returncode == 0
    assert len(place.results()) == 30


def test_the_timeline_is_drawn(place):
    place.write(*({"name": f"n{i}"} for i in range(20)))
    done = place.run("run", "job.py:Work", "--input", "events.jsonl", "--timeline", "run.svg")
    assert done.returncode == 0
    assert "run.svg" in done.stdout
    root = ET.parse(place.path / "run.svg").getroot()
    assert "20 events" in "".join(root.itertext())
    assert "n7" in "".join(root.itertext())


def test_quiet_says_only_what_went_wrong(place, snapshot):
    place.write({}, {})
    done = place.run("run", "job.py:Work", *FILES, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    place.write({}, "broken")
    done = place.run("run", "job.py:Work", *FILES, "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("line 2: ")
    place.write({}, {"how": "raise"})
    done = place.run("run", "job.py:Choose", *FILES, "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == snapshot


def test_results_replace_those_of_the_last_run(place):
    place.write({}, {}, {})
    assert place.run("run", "job.py:Work", *FILES).returncode == 0
    place.write({})
    assert place.run("run", "job.py:Work", *FILES).returncode == 0
    assert len(place.results()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("job.py:Work", "--input", "gone.jsonl"), ["gone.jsonl", "no such file"]),
        (("job.py:Work", "--input", "empty.jsonl"), ["empty.jsonl", "is empty"]),
        (("job.py:Work", "--input", "blank.jsonl"), ["blank.jsonl", "is empty"]),
        (("job.py:Work", "--input", "-"), ["standard input", "is empty"]),
        (("gone.py:Work", *FILES), ["gone.py", "no file"]),
        (("job.py:Wrok", *FILES), ["'Wrok'", "did you mean Work?"]),
        (("job.py:Path", *FILES), ["job.py:Path", "neither an Event nor an Executor"]),
        (("job.py:Work", "--input", "events.jsonl", "--output", "no/x"), ["no/x", "mkdir"]),
        (("job.py:Work", "--input", "events.jsonl", "--output", "."), ["is a directory"]),
        (("job.py:Work", "--input", "events.jsonl", "--output", "events.jsonl"), ["--input"]),
        (("job.py:Work", *FILES, "--timeline", "no/x"), ["--timeline", "no/x", "mkdir"]),
        (("job.py:Work", *FILES, "--timeline", "results.jsonl"), ["--output"]),
        (("job.py:Work", *FILES, "--refresh", "2"), ["--refresh", "--capacity"]),
        (("job.py:Work", *FILES, "--capacity", "99999999"), ["queue_capacity"]),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_runs(place, arguments, words):
    place.write({})
    (place.path / "empty.jsonl").touch()
    (place.path / "blank.jsonl").write_text("\n \n")
    (place.path / "results.jsonl").write_text("kept\n")
    done = place.run("run", *arguments)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert (place.path / "results.jsonl").read_text() == "kept\n"


@pytest.mark.parametrize(
    "option",
    [("--concurrency", "0"), ("--capacity", "2.5"), ("--refresh", "nan"), ("--timeout", "-1")],
    ids=" ".join,
)
def test_a_number_that_makes_no_sense_is_named(place, option):
    place.write({})
    done = place.run("run", "job.py:Work", *FILES, *option)
    assert done.returncode == 2
    assert f"argument {option[0]}: {option[1]!r} is not" in done.stderr


def test_a_reader_of_the_results_that_goes_away_ends_the_run(place):
    with place.start("run", "job.py:Work", "--input", "-", "--output", "-") as process:
        process.stdin.write("{}\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.write("{}\n")
        process.stdin.flush()
        assert "results cannot be written" in process.stderr.readline()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_results_that_cannot_be_written_end_the_run(place, snapshot):
    place.write(*[{}] * 50)
    done = place.run("run", "job.py:Work", "--input", "events.jsonl", "--output", "/dev/full")
    assert done.returncode == 1
    assert done.stderr == snapshot


def test_help_names_the_exit_statuses(place):
    done = place.run("run", "--help")
    assert done.returncode == 0
    assert "exit status:" in done.stdout
    assert "130" in done.stdout


def test_the_version_is_that_of_the_package(place):
    done = place.run("--version")
    assert (done.returncode, done.stdout) == (0, f"lionpride {__version__}\n")
