"""Keys, what they ask and what they do; and the command in a terminal."""

import asyncio
import json
import os
import pty
import re
import sys
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from lionpride.cli import main
from lionpride.cli.commands.top import Top
from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.rules.limits.limit import Limit
from lionpride.view.monitor import Monitor


class Page(Event):
    ends: str = "well"

    async def _invoke(self) -> str:
        if self.ends == "badly":
            raise ValueError("no luck")
        if self.ends == "never":
            await asyncio.Event().wait()
        return self.ends


class Pages(Processor):
    event_type = Page


class Desk(Executor):
    processor_type = Pages


async def pressed(top: Top, *keys: str) -> str:
    """What is said after these keys."""
    for key in keys:
        await top.press(key)
    return top.choice.asks or top.choice.says


async def test_keys_ask_before_they_change_anything(snapshot: SnapshotAssertion) -> None:
    desk = Desk(grace=0.0)
    async with desk, Top(Monitor(desk), "here") as top:
        await top.look()
        bad = await desk.append_many([Page(ends="badly") for _ in range(3)])
        await desk.join()
        hanging = await desk.append(Page(ends="never"))
        while hanging.status is not EventStatus.PROCESSING:
            await asyncio.sleep(0)
        await top.look()
        assert await pressed(top, "c") == snapshot
        assert await pressed(top, "n") == ""
        assert hanging.status is EventStatus.PROCESSING
        assert await pressed(top, "r") == snapshot
        assert await pressed(top, "c", "y") == snapshot
        while hanging.status is not EventStatus.CANCELLED:
            await asyncio.sleep(0)
        await top.look()
        assert await pressed(top, "\t", "\x1b[B", "r") == snapshot
        assert await pressed(top, "y") == snapshot
        await desk.join()
        assert bad[1].execution.attempt == 2
        assert await pressed(top, "R") == snapshot
        assert await pressed(top, "y") == snapshot
        await desk.join()
        assert await pressed(top, "p") == snapshot
        await top.press("y")
        assert desk.paused
        assert top.choice.paused
        assert await pressed(top, "p") == snapshot
        await top.press("y")
        assert not desk.paused
        await top.press("q")
        assert top.over


async def test_of_a_store_that_others_run_all_are_paused(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    desk = Desk(store=f"sqlite:///{tmp_path / 'run.db'}")
    page = await desk.append(Page())
    async with Top(Monitor(str(tmp_path / "run.db")), "run.db") as top:
        await top.look()
        assert await pressed(top, "R") == snapshot
        assert await pressed(top, "c") == ""  # nothing runs, so nothing is chosen
        assert await pressed(top, "p") == snapshot
        await top.press("y")
        assert top.choice.paused
        await desk.forward()
        assert page.status is EventStatus.PENDING
        assert await pressed(top, "p") == snapshot
        await top.press("y")
        assert top.choice.paused is False
    await desk.forward()
    assert page.status is EventStatus.COMPLETED
    await desk.store.close()


async def test_a_store_in_memory_is_paused_for_the_executors_that_use_it() -> None:
    desk = Desk()
    page = await desk.append(Page())
    async with Top(Monitor(desk.store), "here") as top:
        await top.look()
        assert "Start no more events" in await pressed(top, "p")
        await top.press("y")
        await desk.forward()
        assert page.status is EventStatus.PENDING
        assert "Start events again" in await pressed(top, "p")
        await top.press("y")
    await desk.forward()
    assert page.status is EventStatus.COMPLETED


async def test_it_draws_in_a_terminal_and_ends_with_q(tmp_path: Path) -> None:
    desk = Desk(store=f"sqlite:///{tmp_path / 'run.db'}")
    async with desk:
        await desk.append(Page(ends="badly"))
        await desk.join()
    ours, theirs = pty.openpty()
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lionpride", "top", "--store", str(tmp_path / "run.db")),
        stdin=theirs,
        stdout=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
    )
    os.close(theirs)
    seen, text = bytearray(), asyncio.Event()

    def read() -> None:
        try:
            seen.extend(os.read(ours, 65536))
        except OSError:
            asyncio.get_running_loop().remove_reader(ours)
        if b"no luck" in seen:
            text.set()

    asyncio.get_running_loop().add_reader(ours, read)
    await text.wait()
    os.write(ours, b"q")
    assert await command.wait() == 0
    asyncio.get_running_loop().remove_reader(ours)
    os.close(ours)
    plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", bytes(seen)).decode()
    assert "1 worker" in plain or "0 workers" in plain
    assert "ValueError: no luck" in plain


async def test_without_a_terminal_it_is_drawn_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(store=f"sqlite:///{tmp_path / 'run.db'}")
    await desk.append(Page())
    await desk.store.close()
    status = await asyncio.to_thread(main, ["top", "--store", str(tmp_path / "run.db")])
    assert status == 0
    said = capsys.readouterr().out
    assert said.startswith("lionpride top")
    assert "pending" in said
    assert all(line.strip() for line in said.splitlines()), "it is not padded"
    assert "quit" not in said, "there is nobody to press a key"


async def test_it_is_told_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(tmp_path / "run.db")
    limit = Limit("requests", 5, per=60)
    desk = Desk({"limits": [limit]}, store=f"sqlite:///{store}", grace=0.0)
    async with desk:
        bad = await desk.append(Page(ends="badly"))
        await desk.join()
        runs = await desk.append(Page(ends="never"))
        while runs.status is not EventStatus.PROCESSING:
            await asyncio.sleep(0)
        await desk.pause("queue", by="alice")
        assert await asyncio.to_thread(main, ["top", store, "--once", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["store"] == store
    assert (told["counts"]["failed"], told["counts"]["processing"]) == (1, 1)
    assert told["paused"]["by"] == "alice"
    assert set(told["ran"]) == {"median", "p95"}
    assert [each["id"] for each in told["failures"]] == [str(bad.id)]
    (running,) = told["running"]
    assert (running["id"], running["attempt_number"]) == (str(runs.id), 1)
    (worker,) = told["workers"]
    assert worker["name"] == running["worker"]
    described = {"name": "requests", "amount": 5, "per": 60, "per_key": False, "pool": "requests"}
    assert worker["about"]["limits"] == [described]
    (slots,) = [each for each in told["limits"] if each["pool"] == "slots"]
    assert (slots["used"], slots["amount"]) == (1, 100)


def test_what_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--store", str(tmp_path / "none.db")]) == 2
    assert "no such file" in capsys.readouterr().err
