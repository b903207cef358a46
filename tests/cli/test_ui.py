"""The page of a store, as a command."""

import asyncio
import contextlib
import json
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from cli.conftest import Place

from lionpride.cli import main
from lionpride.core import Event, Executor, Processor

pytestmark = pytest.mark.guard(90)  # each test starts the command once or twice


class Note(Event):
    text: str = ""


class Notes(Processor):
    event_type = Note


class Desk(Executor):
    processor_type = Notes


@asynccontextmanager
async def shown(store: Path, *options: str) -> AsyncIterator[tuple[str, str]]:
    """The URL and the token of the page of a store, while the command runs."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lionpride", "ui", "--store", str(store), "--port", "0", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert command.stdout is not None
        line = (await command.stdout.readline()).decode()
        found = re.search(r"(http://127\.0\.0\.1:\d+)/\?token=([\w-]{30,}) ", line)
        assert found is not None, line
        yield found[1], found[2]
        command.send_signal(signal.SIGINT)
        _, errors = await command.communicate()
        assert command.returncode == 0
        assert errors == b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            command.kill()
        await command.communicate()


async def filled(store: Path) -> Note:
    desk = Desk(store=f"sqlite:///{store}")
    note = await desk.append(Note(text="hello"))
    await desk.store.close()
    return note


async def test_it_serves_this_machine_until_it_is_interrupted(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    await filled(store)
    async with shown(store) as (url, token), httpx.AsyncClient() as browser:
        assert (await browser.get(f"{url}/events")).status_code == 401
        answer = await browser.get(f"{url}/?token={token}", follow_redirects=True)
        assert str(answer.url) == f"{url}/"
        text = (await browser.get(f"{url}/events")).text
        assert '<b id="total">1</b>' in text
        assert "hello" in text
        assert (await browser.get(f"{url}/act?do=cancel&status=pending")).status_code == 403
        cookies = dict(browser.cookies)
    async with shown(store) as (again, fresh), httpx.AsyncClient(cookies=cookies) as browser:
        assert fresh != token
        assert (await browser.get(f"{again}/events")).status_code == 401
        assert (await browser.get(f"{again}/?token={token}")).status_code == 401


async def test_a_script_sends_the_token_as_a_header(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    note = await filled(store)
    async with shown(store, "--act") as (url, token), httpx.AsyncClient() as script:
        form = {"do": "cancel", "id": str(note.id)}
        assert (await script.get(f"{url}/healthz")).text == "ok\n"
        assert (await script.get(f"{url}/metrics", headers={"host": "jobs"})).status_code == 200
        assert (await script.post(f"{url}/act", data=form)).status_code == 401
        script.headers["authorization"] = f"Bearer {token}"
        assert (await script.get(f"{url}/", headers={"host": "evil.example"})).status_code == 403
        assert (await script.post(f"{url}/act", data=form)).status_code == 303
        assert "cancelled" in (await script.get(f"{url}/events/{note.id}")).text


async def test_a_browser_acts_with_the_form_of_the_page_alone(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    note = await filled(store)
    async with shown(store, "--act") as (url, token), httpx.AsyncClient() as browser:
        await browser.get(f"{url}/?token={token}")
        form = {"do": "cancel", "id": str(note.id)}
        asked = (await browser.get(f"{url}/act", params=form)).text
        assert (await browser.post(f"{url}/act", data=form)).status_code == 403
        form["token"] = re.search(r'name="token" value="(\w+)"', asked)[1]  # type: ignore[index]
        evil = {"origin": "http://evil.example"}
        answer = await browser.post(f"{url}/act", data=form, headers=evil)
        assert answer.status_code == 403
        assert "http://evil.example" in answer.text
        assert url in answer.text
        assert (await browser.post(f"{url}/act", data=form)).status_code == 303


def test_the_address_is_told_as_data(place: Place) -> None:
    assert place.run("migrate", "run.db").returncode == 0
    with place.start("ui", "run.db", "--port", "0", "--json") as server:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        assert told["store"] == "run.db"
        assert told["url"].startswith("http://127.0.0.1:")
        assert told["url"].endswith(f"/?token={told['token']}")
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0


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
    assert main(["ui", "--store", "run.db", "--port", "http"]) == 2
    assert "is no port" in capsys.readouterr().err
