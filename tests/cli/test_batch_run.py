"""One run within this process: what is started when, what ends it, and what it comes to."""

import asyncio
import json
import signal
from pathlib import Path

import pytest
from cli.texts import plain

from lionpride.cli.batch.batch_run import BatchRun, Plan
from lionpride.cli.batch.outputs import open_output
from lionpride.cli.batch.source import open_source
from lionpride.cli.interrupts import Interrupts
from lionpride.cli.targets.target import Target, executor_for
from lionpride.cli.usage import UsageError
from lionpride.core import Event
from lionpride.stores.open import open_store


class Work(Event):
    name: str = "work"
    how: str = ""

    async def _invoke(self):
        SEEN.append(self.name)
        if self.how == "fail":
            raise ValueError("told to")
        if self.how == "exit":
            raise SystemExit(3)
        if self.how == "signal":
            signal.raise_signal(signal.SIGINT)
            for _ in range(20):
                await asyncio.sleep(0)
        if self.how == "stop":
            await self.stop()
        await asyncio.sleep(0)
        return self.name

    async def stop(self):
        """What a test gives it to do."""


SEEN: list[str] = []


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SEEN.clear()
    return tmp_path


class Place:
    """Files for a job, and the job that was run on them."""

    def __init__(self, *lines, **settings) -> None:
        text = "".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines)
        Path("events.jsonl").write_text(text)
        self.settings = settings

    async def run(self, *, output="results.jsonl", picture=None, timeout=None, store=None) -> int:
        executor_type = executor_for(Work)
        source = open_source("events.jsonl")
        results = open_output("--output", output)
        drawing = open_output("--timeline", picture) if picture else None
        target = Target("job.py:Work", Work, executor_type)
        self.executor = executor_type(self.settings, store=store)
        await self.executor.start()
        try:
            self.job = BatchRun(
                Plan(target, source, results, drawing, timeout, False), self.executor
            )
            with Interrupts() as interrupts:
                return await self.job.run(interrupts)
        finally:
            for file in (source, results, drawing):
                if file is not None:
                    file.close()

    def results(self) -> dict[int, str]:
        records = [json.loads(line) for line in Path("results.jsonl").read_text().splitlines()]
        assert len({record["id"] for record in records}) == len(records)
        return {record["line"]: record["status"] for record in records}


async def test_a_file_is_read_to_its_end_before_the_first_event_starts(capsys):
    lines = [{"name": f"n{i}", "priority": 20_000 - i} for i in range(20_000)]
    place = Place(*lines, concurrency_limit=1)
    assert await place.run() == 0
    assert [f"n{i}" for i in reversed(range(20_000))] == SEEN
    assert place.executor.status_counts()["completed"] == 20_000
    assert len(place.results()) == 20_000
    out, err = capsys.readouterr()
    assert out.startswith("20,000 events in ")
    assert out.endswith("results   results.jsonl\n")
    assert err == ""


@pytest.mark.parametrize(
    ("lines", "status", "words"),
    [
        ([{}, {"how": "fail"}], 1, "line 2 failed: ValueError: told to  (work)"),
        ([{}, "oops"], 1, "1 bad line, named above"),
        (["oops", "oops"], 1, "2 bad lines, named above"),
        ([{}, {}], 0, "completed       2"),
    ],
)
async def test_the_status_tells_whether_anything_went_wrong(capsys, lines, status, words):
    assert await Place(*lines).run() == status
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("lines", [(), ("", " ")], ids=["empty", "blank"])
async def test_no_line_at_all_is_an_error_and_empties_nothing(here, lines):
    (here / "results.jsonl").write_text("kept\n")
    with pytest.raises(UsageError, match=r"events\.jsonl is empty"):
        await Place(*(lines or ("",))).run()
    assert (here / "results.jsonl").read_text() == "kept\n"


async def test_a_run_over_a_queue_that_is_paused_by_hand_says_so_and_waits(capsys):
    store = open_store("sqlite:///run.db", queue="work", name="work")
    await store.pause()  # type: ignore[attr-defined]
    other = open_store("sqlite:///run.db", queue="work", name="other")
    running = asyncio.create_task(Place({"name": "a"}).run(store=store))
    said = ""
    while "queue work is paused by hand: nothing starts until it is resumed" not in said:
        assert not running.done()
        await asyncio.sleep(0)
        said += capsys.readouterr().err
    assert SEEN == []
    await other.pause(0.0)  # type: ignore[attr-defined]
    assert await running == 0
    assert SEEN == ["a"]
    await other.close()
    await store.close()


async def test_an_event_that_asks_to_exit_ends_the_run_and_not_the_process(capsys, snapshot):
    place = Place({"name": "a"}, {"name": "b", "how": "exit"}, {"name": "c"}, concurrency_limit=1)
    assert await place.run() == 1
    assert place.results() == {1: "completed", 2: "failed"}
    assert SEEN == ["a", "b"]
    out, err = capsys.readouterr()
    assert "SystemExit" in err
    assert plain(err) == snapshot
    assert "1 left" in out
    assert "pending" in out


async def test_a_run_that_somebody_else_stops_is_not_a_success(monkeypatch, capsys):
    place = Place({"how": "stop"}, {}, {}, concurrency_limit=1)
    monkeypatch.setattr(Work, "stop", lambda event: place.executor.stop())
    assert await place.run() == 1
    assert place.results() == {1: "completed"}
    assert "2 left" in capsys.readouterr().out


async def test_a_signal_lets_finish_what_runs_and_starts_no_more(capsys, snapshot):
    before = signal.getsignal(signal.SIGINT)
    place = Place({"name": "a", "how": "signal"}, {"name": "b"}, {"name": "c"}, concurrency_limit=1)
    assert await place.run() == 130
    assert place.results() == {1: "completed"}
    assert SEEN == ["a"]
    assert place.executor.status_counts()["pending"] == 2
    out, err = capsys.readouterr()
    assert plain(err) == snapshot
    assert "2 left" in out
    assert signal.getsignal(signal.SIGINT) is before


async def test_the_timeline_is_drawn_whatever_happened(here, capsys):
    place = Place({"name": "a", "how": "exit"}, {"name": "b"}, concurrency_limit=1)
    assert await place.run(picture="run.svg") == 1
    text = (here / "run.svg").read_text()
    assert "job.py:Work" in text
    assert "failed 1" in text
    assert "not started 1" in text
    assert "timeline  run.svg" in capsys.readouterr().out


async def test_results_that_cannot_be_written_start_no_more(capsys, snapshot):
    if not Path("/dev/full").exists():
        pytest.skip("needs a device that is full")
    place = Place(*[{"name": str(i)} for i in range(50)], concurrency_limit=1)
    assert await place.run(output="/dev/full") == 1
    assert len(SEEN) < 50
    said = capsys.readouterr().err
    assert "/dev/full" in said
    assert plain(said) == snapshot


async def test_the_timeout_is_for_every_event():
    place = Place({"how": "hang"}, {"timeout": 5})
    Work._invoke, before = hang, Work._invoke
    try:
        assert await place.run(timeout=0.01) == 1
    finally:
        Work._invoke = before
    assert place.results() == {1: "cancelled", 2: "completed"}


async def hang(event):
    if event.how == "hang":
        await asyncio.Event().wait()


# ------------------------------------------------------------------------- its two small tools
