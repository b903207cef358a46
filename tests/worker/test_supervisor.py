"""The supervisor, over real processes and signals; ``child.py`` has their code."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import lionpride
from lionpride.worker import supervisor as module
from lionpride.worker.supervisor import ChildProcess, Supervisor
from lionpride.worker.supervisor_metrics import SupervisorMetrics

CHILD = Path(__file__).with_name("child.py")

pytestmark = pytest.mark.guard(30)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(lionpride.__file__).parents[1]))
    return tmp_path


def make(what: str, number: int = 1, **options: Any) -> Supervisor:
    options = {"grace": 20.0, **options}
    return Supervisor([sys.executable, str(CHILD), what], number, **options)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator["asyncio.Task[int]"]:
    task = asyncio.create_task(supervisor.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def working(supervisor: Supervisor) -> list[ChildProcess]:
    return [each for each in supervisor.children.values() if each.state == "working"]


def starts(metrics: SupervisorMetrics, supervisor: Supervisor) -> float:
    found = [each for each in metrics.collect(supervisor, []) if each.name == "starts"]
    return sum(
        sample.value for each in found for sample in each.samples if sample.name.endswith("_total")
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_all_processes(folder: Path, number: int) -> None:
    supervisor = make("work", 3)
    async with running(supervisor) as task:
        await until(lambda: len(working(supervisor)) == 3)
        assert supervisor.why_not_alive() == supervisor.why_not_working() == ""
        os.kill(os.getpid(), number)
        await until(supervisor.why_not_working)
        assert supervisor.why_not_working() == "draining"
        assert await task == 0
    assert len(list(folder.glob("ended-*"))) == 3


async def test_the_second_signal_interrupts() -> None:
    supervisor = make("stubborn", 2)
    async with running(supervisor) as task:
        await until(lambda: len(working(supervisor)) == 2)
        await until(lambda: len(list(Path().glob("started-*"))) == 2)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(supervisor.why_not_working)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 143


async def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KILL_AFTER_GRACE", 0.1)
    supervisor = make("stubborn", grace=0.0)
    async with running(supervisor) as task:
        await until(lambda: list(Path().glob("started-*")))
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 143


async def test_a_killed_process_is_replaced_and_its_counts_stay(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    metrics = SupervisorMetrics()
    supervisor = make("work", 2, ended=metrics.ended)
    async with running(supervisor) as task:
        await until(lambda: starts(metrics, supervisor) == 2)
        first = supervisor.children[1].process.pid
        with caplog.at_level(logging.ERROR, "lionpride.worker"):
            os.kill(first, signal.SIGKILL)
            await until(lambda: starts(metrics, supervisor) == 3)
        assert supervisor.children[1].process.pid != first
        assert supervisor.restarts == {"recycled": 0, "died": 1}
        assert f"process 1 (pid {first}) was ended by SIGKILL; it is started again" in caplog.text
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0


async def test_a_recycled_process_is_replaced_at_once() -> None:
    metrics = SupervisorMetrics()
    supervisor = make("recycle", ended=metrics.ended)
    async with running(supervisor) as task:
        await until(lambda: supervisor.restarts["recycled"] >= 3)
        os.kill(os.getpid(), signal.SIGTERM)
        await task
    assert starts(metrics, supervisor) >= 3


async def test_the_pauses_before_a_process_that_dies_at_once_double(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.06)
    supervisor = make("early")
    with caplog.at_level(logging.ERROR, "lionpride.worker"):
        async with running(supervisor) as task:
            await until(lambda: supervisor.restarts["died"] == 5)
            os.kill(os.getpid(), signal.SIGTERM)
            assert await task == 0
    pauses = [each.getMessage().rpartition(" in ")[2] for each in caplog.records]
    assert pauses == ["10 ms", "20 ms", "40 ms", "60 ms", "60 ms"]


async def test_a_process_that_the_system_does_not_start_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    script = folder / "script"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {CHILD} work\n")
    script.chmod(0o700)
    supervisor = Supervisor([str(folder / "child")], 2, grace=20.0)
    async with running(supervisor) as task:
        await until(lambda: "process 1 could not be started: " in caplog.text)
        assert supervisor.why_not_working() == "no process works yet: none is running"
        script.rename(folder / "child")
        await until(lambda: len(working(supervisor)) == 2)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0


async def test_a_command_line_that_cannot_be_carried_out_ends_the_supervisor() -> None:
    supervisor = make("usage", 2)
    assert await supervisor.run() == 2
    assert supervisor.restarts["died"] == 0


@pytest.mark.parametrize(("what", "status"), [("empty", 0), ("failed", 1)])
async def test_until_empty_a_process_that_has_ended_is_not_replaced(what: str, status: int) -> None:
    supervisor = make(what, 2, until_empty=True)
    assert await supervisor.run() == status
    assert supervisor.restarts == {"recycled": 0, "died": 0}
    assert not supervisor.children


async def test_a_blocked_loop_is_not_alive_after_the_stated_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BLOCKED_AFTER", 0.2)
    monkeypatch.setattr(module, "_KILL_AFTER_GRACE", 0.1)
    supervisor = make("block", grace=0.0)
    async with running(supervisor) as task:
        assert supervisor.why_not_alive() == "", "it is starting"
        await until(lambda: list(Path().glob("started-*")))
        await until(supervisor.why_not_alive)
        pid = supervisor.children[1].process.pid
        said = f"process 1 (pid {pid}): its event loop has been blocked for "
        assert supervisor.why_not_alive().startswith(said)
        os.kill(os.getpid(), signal.SIGTERM)
        await task


@pytest.mark.parametrize("what", ["work", "block"])
def test_the_processes_end_with_the_supervisor(folder: Path, what: str) -> None:
    code = f"""
        import asyncio
        from lionpride.worker.supervisor import Supervisor
        asyncio.run(Supervisor({[sys.executable, str(CHILD), what]!r}, 2, grace=20.0).run())
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    while len(pids := [int(each.name[8:]) for each in folder.glob("started-*")]) < 2:
        assert process.poll() is None
    process.kill()
    process.wait()
    for pid in pids:  # they are no children of this process, so it cannot wait for them
        while is_running(pid):
            pass
    if what == "work":
        assert len(list(folder.glob("ended-*"))) == 2, "they have drained"


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
