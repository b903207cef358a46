"""Signal handlers that raise while a transaction is written, as Ctrl-C does."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from types import FrameType
from typing import Any

import apsw
import pytest
from stores.makers import Job

from lionpride.errors import StoreError
from lionpride.model.execution import EventStatus
from lionpride.rules.state_machine import Completion
from lionpride.stores.sqlite import SqliteStore

SOON = 50e-6
"""Seconds: less than a COMMIT takes that is synced."""


class Interrupter:
    """Has a signal handler raise once, while a statement of the first thread is run."""

    def __init__(self) -> None:
        self.statement = ""

    def watch(self, connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_STMT, self._traced)

    def _traced(self, facts: dict[str, Any]) -> None:
        if self.statement and facts["sql"] == self.statement:
            self.statement = ""
            signal.setitimer(signal.ITIMER_REAL, SOON)

    def handle(self, signum: int, frame: FrameType | None) -> None:
        if frame is not None and (
            frame.f_code is Interrupter._traced.__code__  # SQLite has not begun yet
            or frame.f_code.co_filename.endswith(
                ("weakref.py", "_weakrefset.py")
            )  # what is raised there is lost
        ):
            signal.setitimer(signal.ITIMER_REAL, SOON)
        else:
            raise KeyboardInterrupt


def interrupted(
    loop: asyncio.AbstractEventLoop,
    interrupter: Interrupter,
    work: Coroutine[Any, Any, Any],
    statement: str,
) -> Any:
    """Run a coroutine that is interrupted, and go on with it; return its result."""
    task = loop.create_task(work)
    interrupter.statement = statement
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.sleep(20.0))
    assert interrupter.statement == ""
    return loop.run_until_complete(asyncio.wait_for(task, 20.0))


async def error_of(work: Coroutine[Any, Any, Any]) -> StoreError | None:
    try:
        await work
    except StoreError as error:
        return error
    return None


def during_commit(path: Path, interrupter: Interrupter, loop: asyncio.AbstractEventLoop) -> None:
    store = SqliteStore(path)
    run = loop.run_until_complete
    run(store.counts())  # which makes the file
    for number in range(1, 21):
        interrupted(loop, interrupter, store.append([(Job(), 1.0)]), "COMMIT")
        assert run(store.counts())[EventStatus.PENDING] == 1
        claims, _ = interrupted(loop, interrupter, store.claim("w", start=True), "COMMIT")
        ((event, attempt),) = claims
        done = [(event, attempt, Completion(None, 0.1))]
        interrupted(loop, interrupter, store.settle(done), "COMMIT")
        assert event.execution.status is EventStatus.COMPLETED
        assert run(store.counts())[EventStatus.COMPLETED] == number
    run(asyncio.wait_for(store.close(), 20.0))
    other = SqliteStore(path)
    assert run(other.counts())[EventStatus.COMPLETED] == 20
    run(other.close())


def before_commit(path: Path, interrupter: Interrupter, loop: asyncio.AbstractEventLoop) -> None:
    store = SqliteStore(path)
    run = loop.run_until_complete
    run(store.append([(Job(), 1.0)]))
    appended, refused = 1, 0
    for _ in range(20):
        append = error_of(store.append([(Job(), 1.0)]))
        error = interrupted(loop, interrupter, append, "BEGIN IMMEDIATE")
        if error is None:  # on a busy machine the signal may come as late as in the COMMIT
            appended += 1
        else:
            assert "before the COMMIT: nothing of this step" in str(error)
            refused += 1
    assert refused
    run(store.append([(Job(), 1.0)]))
    assert sum(run(store.counts()).values()) == appended + 1
    run(asyncio.wait_for(store.close(), 20.0))


def run(scenario: str, path: Path) -> None:
    """Run one of the above in a process of its own, since pytest's has handlers too."""
    tests = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, __file__, scenario, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([tests, *filter(None, sys.path)])},
    )
    assert done.returncode == 0, done.stderr


def test_a_step_whose_commit_is_interrupted_is_answered(tmp_path: Path) -> None:
    run("during_commit", tmp_path / "run.db")


def test_a_step_that_is_interrupted_before_its_commit_fails(tmp_path: Path) -> None:
    run("before_commit", tmp_path / "run.db")


def main(scenario: str, path: str) -> None:
    interrupter = Interrupter()
    signal.signal(signal.SIGALRM, interrupter.handle)
    apsw.connection_hooks.append(interrupter.watch)
    loop = asyncio.new_event_loop()
    globals()[scenario](Path(path), interrupter, loop)
    loop.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
