"""The page of a store, as a command."""

import asyncio
import contextlib
import re
import signal
import socket
import sys
import urllib.request
from pathlib import Path

import pytest

from lionpride.cli import main
from lionpride.core import Event, Executor, Processor


class Note(Event):
    text: str = ""


class Notes(Processor):
    event_type = Note


class Desk(Executor):
    processor_type = Notes


async def test_it_serves_this_machine_until_it_is_interrupted(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    desk = Desk(store=f"sqlite:///{store}")
    await desk.append(Note(text="hello"))
    await desk.store.close()
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lionpride", "ui", "--store", str(store), "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert command.stdout is not None
        line = (await command.stdout.readline()).decode()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found is not None, line
        text = await asyncio.to_thread(get, f"{found[0]}events")
        assert '<b id="total">1</b>' in text
        assert "hello" in text
        command.send_signal(signal.SIGINT)
        await command.communicate()
        assert command.returncode == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            command.kill()
        await command.communicate()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())


def test_what_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", "--store", str(tmp_path / "none.db"), "--port", "0"]) == 2
    assert "no such file" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["ui", "--store", str(tmp_path / "run.db"), "--port", str(port)]) == 2
    assert f"--port {port}: " in capsys.readouterr().err


def test_a_port_is_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ui", "--store", "run.db", "--port", "http"])
    assert "is no port" in capsys.readouterr().err
