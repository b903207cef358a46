"""The server that the tests here need: started on demand, and gone with whoever started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from tools import postgres_server
from tools.postgres_server import GIVEN, Server

ROOT = Path(__file__).parents[3]
START = "from tools.postgres_server import Server; print(Server().folder, flush=True); input()"


async def ask(url: str, question: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def comes_true(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return what()


async def test_it_serves_on_a_socket_of_its_own() -> None:
    with Server() as server:
        assert await ask(server.url, "SHOW server_version_num") >= "180000"  # type: ignore[operator]
        assert await ask(server.url, "SHOW fsync") == "off"
        assert await ask(server.url, "SHOW listen_addresses") == ""
    assert not server.folder.exists()


async def test_what_was_committed_is_there_after_a_crash_and_a_restart() -> None:
    with Server({"fsync": "on"}) as server:
        await ask(server.url, "CREATE TABLE kept AS SELECT 7 AS number")
        server.stop("immediate")
        with pytest.raises(OSError):
            await ask(server.url, "SELECT 1")
        server.start()
        assert await ask(server.url, "SELECT number FROM kept") == 7


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_a_process_that_is_killed(how: signal.Signals) -> None:
    command = [sys.executable, "-c", START]
    with subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True) as owner:
        folder = Path(owner.stdout.readline().strip())
        postmaster = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        owner.send_signal(how)
    assert comes_true(lambda: not folder.exists())
    assert comes_true(lambda: not runs(postmaster))


def runs(process: int) -> bool:
    """Whether it runs; one that has ended, and that nobody has asked about, does not."""
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_server_that_is_given_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GIVEN, "postgresql://somewhere/else")
    assert postgres_server.for_tests.__wrapped__() == "postgresql://somewhere/else"


def test_a_setting_that_it_does_not_know_is_said() -> None:
    with pytest.raises(postgres_server.ServerError, match="no_such_setting"):
        Server({"no_such_setting": "1"})
