"""What goes wrong around a run: broken code, closed streams, output that is printed into ours."""

import json
import signal
import subprocess
import textwrap
from pathlib import Path

import pytest

FILES = ("--input", "events.jsonl", "--output", "results.jsonl")

TROUBLE = """
    import os, sys, time
    from lionpride.core import Event, Executor, Processor
    from lionpride.stores.memory import MemoryStore

    print("imported")

    class Broken(dict):
        def items(self):
            raise RuntimeError("no items")

        def __repr__(self):
            raise RuntimeError("no repr")

    class Give(Event):
        what: str = "plain"

        async def _invoke(self):
            odd = {"broken": Broken(a=1), "large": 10**6000, "deep": deep(5000)}
            return odd.get(self.what, 1)

    def deep(levels):
        value = []
        for _ in range(levels):
            value = [value]
        return value

    class Loud(Event):
        async def _invoke(self):
            print("printed")
            os.system("echo from a child")

    class Unprintable(Event):
        name: str = ""

        async def _invoke(self):
            raise ValueError("日本")

    class Later(Event):
        '''The first ends at once; the second keeps the loop busy.'''
        busy: bool = False

        async def _invoke(self):
            if self.busy:
                print("busy", flush=True)
                time.sleep(1000)

    class NoStart(Processor):
        event_type = Give

        def __init__(self, **settings):
            raise OSError("no database")

    class Keeping(MemoryStore):
        async def close(self):
            print("closed")
            await super().close()

    class Closing(Executor):
        processor_type = type("Plain", (Processor,), {"event_type": Give})

        def __init__(self, processor_config=None):
            super().__init__(processor_config, store=Keeping())

    class CannotStart(Executor):
        processor_type = NoStart

    class CannotBeMade(Executor):
        processor_type = type("Plain", (Processor,), {"event_type": Give})

        def __init__(self, processor_config=None):
            raise KeyError("no key")
"""


@pytest.fixture
def trouble(place):
    (place.path / "trouble.py").write_text(textwrap.dedent(TROUBLE))
    return place


def shell(place, line, **options):
    """Run a line of shell, in which $RUN is `python -m lionpride run`."""
    env = {**place.env, "RUN": " ".join(place.command("run")), **options.pop("env", {})}
    return subprocess.run(
        ["bash", "-c", line],
        cwd=place.path,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


# ------------------------------------------------------------------------------- code that breaks


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import sys\nsys.exit(0)", ["line 2", "SystemExit", "__main__"]),
        ("raise SystemExit('install it')", ["ending.py: install it"]),
        ("raise BaseException('odd')", ["line 1", "BaseException: odd"]),
        ("import asyncio\nraise asyncio.CancelledError", ["line 2", "CancelledError"]),
    ],
)
def test_a_file_that_ends_its_own_import_runs_nothing(trouble, source, words):
    trouble.write({})
    (trouble.path / "ending.py").write_text(source)
    done = trouble.run("run", "ending.py:Give", *FILES)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert all(word in done.stderr for word in ["ending.py", *words]), done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [("CannotStart", ["OSError: no database"]), ("CannotBeMade", ["KeyError: 'no key'"])],
)
def test_an_executor_that_cannot_be_had_leaves_the_last_results(trouble, name, words):
    trouble.write({})
    (trouble.path / "results.jsonl").write_text("kept\n")
    done = trouble.run("run", f"trouble.py:{name}", *FILES)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert all(word in done.stderr for word in [name, "trouble.py line", *words]), done.stderr
    assert (trouble.path / "results.jsonl").read_text() == "kept\n"


def test_the_store_is_closed_in_the_end(trouble):
    trouble.write({}, {})
    done = trouble.run("run", "trouble.py:Closing", *FILES)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "closed"


@pytest.mark.parametrize("what", ["broken", "large", "deep"])
def test_a_response_that_cannot_be_written_is_marked(trouble, what):
    trouble.write({"what": what}, {"what": "plain"})
    done = trouble.run("run", "trouble.py:Give", *FILES)
    assert (done.returncode, done.stderr) == (0, "")
    odd, plain = sorted(trouble.results(), key=lambda record: record["line"])
    assert (odd["line"], odd["status"], odd["attempts"]) == (1, "completed", 1)
    assert odd["response"] is not None
    assert plain["response"] == 1


def test_a_result_is_in_the_file_before_the_next_event_can_block(trouble):
    trouble.write({}, {}, {"busy": True})
    process = trouble.start("run", "trouble.py:Later", *FILES, "--concurrency", "1")
    try:
        assert process.stdout.readline() == "imported\n"
        assert process.stdout.readline() == "busy\n"
        assert [record["line"] for record in trouble.results()] == [1, 2]
    finally:
        process.kill()
        process.communicate()


# --------------------------------------------------------------------------------- odd input


def test_an_id_that_comes_again_after_its_event_has_ended_is_refused(trouble):
    same = "00000000-0000-0000-0000-000000000001"
    with trouble.start("run", "job.py:Work", "--input", "-", "--output", "-") as process:
        process.stdin.write(f'{{"id": "{same}"}}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["line"] == 1
        process.stdin.write(f'\n{{"id": "{same}"}}\n')
        process.stdin.close()
        assert process.stdout.read() == ""
        said = process.stderr.read()
    assert said.startswith("line 3: id: ")
    assert "line 1" in said.splitlines()[0]
    assert process.returncode == 1


def test_a_bad_line_of_any_length_makes_a_short_message(trouble):
    long = "k" * 100_000
    many = {f"f{i}": 1 for i in range(2_000)}
    trouble.write({long: 1}, {"id": long}, {"name": 1, **many}, {"metadata": long}, long, {})
    done = trouble.run("run", "job.py:Work", *FILES)
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert [line.split(":")[0] for line in said] == [f"line {n}" for n in range(1, 6)]
    assert all(len(line) < 600 for line in said)
    assert "1,9" in said[2]  # how many more there are
    assert [record["line"] for record in trouble.results()] == [6]


def test_a_line_of_many_megabytes_runs(trouble):
    trouble.write({"name": "n" * 5_000_000}, {})
    done = trouble.run("run", "job.py:Work", *FILES, "--timeline", "run.svg")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(trouble.results()[0]["response"]["name"]) == 5_000_000
    assert (trouble.path / "run.svg").stat().st_size < 100_000


# ------------------------------------------------------------------------------- the streams


def test_results_on_standard_output_are_not_mixed_with_what_is_printed(trouble):
    trouble.write({}, {})
    done = trouble.run("run", "trouble.py:Loud", "--input", "events.jsonl", "--output", "-")
    assert done.returncode == 0
    assert [json.loads(line)["line"] for line in done.stdout.splitlines()] == [1, 2]
    for words in ("imported", "printed", "from a child", "2 events"):
        assert words in done.stderr


def test_a_picture_on_standard_output_is_alone_there(trouble):
    trouble.write({}, {})
    done = trouble.run("run", "trouble.py:Loud", "--input", "events.jsonl", "--timeline", "-")
    assert done.returncode == 0
    assert done.stdout.startswith("<svg ")
    assert done.stdout.endswith("</svg>\n")
    assert "2 events" in done.stderr


def test_standard_output_takes_one_thing(trouble):
    trouble.write({})
    both = ("--input", "events.jsonl", "--output", "-", "--timeline", "-")
    done = trouble.run("run", "job.py:Work", *both)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--output" in done.stderr
    assert "--timeline" in done.stderr


def test_standard_output_that_was_appended_to_is_not_emptied(trouble):
    trouble.write({})
    (trouble.path / "log").write_text("before\n")
    done = shell(trouble, "$RUN job.py:Work --input events.jsonl --output - >> log")
    assert done.returncode == 0
    first, second = (trouble.path / "log").read_text().splitlines()
    assert first == "before"
    assert json.loads(second)["line"] == 1


def test_a_reader_that_does_not_want_the_summary_changes_nothing(trouble):
    trouble.write(*[{}] * 10)
    line = "$RUN job.py:Work --input events.jsonl --output results.jsonl --timeline run.svg | true"
    done = shell(trouble, f"{line}; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(trouble.results()) == 10
    assert "</svg>" in (trouble.path / "run.svg").read_text()


def test_a_reader_of_the_help_may_stop_early(trouble):
    done = shell(trouble, "$RUN --help | true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_does_not_want_the_complaints_changes_nothing(trouble):
    trouble.write(*["bad"] * 2000, *[{}] * 2000)
    line = "$RUN job.py:Work --input events.jsonl --output results.jsonl 2>&1 >out | head -n 1"
    done = shell(trouble, f"{line}; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == 1
    assert done.stdout.startswith("line 1: ")
    assert len(trouble.results()) == 2000
    assert "2,000 bad lines" in (trouble.path / "out").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_summary_that_cannot_be_written_is_an_error(trouble, snapshot):
    trouble.write({})
    done = shell(trouble, "$RUN job.py:Work --input events.jsonl > /dev/full")
    assert done.returncode == 1
    assert done.stderr == snapshot


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_timeline_that_cannot_be_written_is_an_error(trouble, snapshot):
    trouble.write({})
    done = trouble.run("run", "job.py:Work", *FILES, "--timeline", "/dev/full")
    assert done.returncode == 1
    assert done.stderr == snapshot
    assert len(trouble.results()) == 1


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "2>&- >&-", "<&-", "<&- 2>&- >&-"])
def test_streams_may_be_closed(trouble, closed):
    trouble.write(*[{}] * 3)
    inside = "$RUN job.py:Work --input events.jsonl --output results.jsonl --timeline run.svg"
    done = shell(trouble, f"{inside} {closed}")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(record["line"] for record in trouble.results()) == [1, 2, 3]


def test_a_closed_stream_is_open_for_the_programs_that_an_event_starts(trouble):
    trouble.write({})
    done = shell(trouble, "$RUN trouble.py:Loud --input events.jsonl >&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("options", "closed", "words"),
    [("--input events.jsonl --output -", ">&-", "--output -"), ("--input -", "<&-", "--input -")],
)
def test_a_closed_stream_cannot_be_named(trouble, options, closed, words):
    trouble.write({})
    done = shell(trouble, f"$RUN job.py:Work {options} {closed}")
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_terminal_without_unicode_gets_what_it_can_show(trouble):
    trouble.write({"name": "日本"})
    env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    line = "$RUN trouble.py:Unprintable --input events.jsonl --output results.jsonl"
    done = shell(trouble, line, env=env)
    assert done.returncode == 1
    assert "line 1 failed: ValueError: ??" in done.stdout
    assert done.stderr == ""
    assert trouble.results()[0]["error"]["message"] == "日本"


# ------------------------------------------------------------------------------------ stopping


@pytest.mark.parametrize("signals", [1, 2])
def test_whenever_it_is_interrupted_each_id_has_one_result_or_none(trouble, signals):
    trouble.write(*[{}] * 20_000)
    process = trouble.start("run", "job.py:Work", *FILES, "--concurrency", "3")
    results = trouble.path / "results.jsonl"
    while process.poll() is None and not (results.exists() and results.stat().st_size > 5_000):
        pass
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    records = trouble.results()
    assert 0 < len(records) < 20_000
    assert len({record["id"] for record in records}) == len(records)
    assert {record["status"] for record in records} == {"completed"}
    assert f"{len(records):,} event" in out
    assert f"{20_000 - len(records):,} left" in out


def test_an_endless_pipe_can_be_interrupted_without_noise(trouble):
    process = trouble.start("run", "job.py:Held", "--input", "-", "--concurrency", "1")
    with subprocess.Popen(["yes", "{}"], stdout=process.stdin) as source:
        try:
            assert process.stdout.readline() == "running\n"
            (trouble.path / "release").touch()
            process.send_signal(signal.SIGINT)
            process.stdin.close()
            process.stdin = None
            out, err = process.communicate(timeout=30)
        finally:
            source.kill()
    assert process.returncode == 130
    assert len(err.splitlines()) == 1
    assert err.startswith("stopping: ")
    assert "not to its end" in out
