"""examples/fastapi_app.py with a real server, a real worker, and a client over connections."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@asynccontextmanager
async def process(*command: str, store: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program of this environment until the end of the block, then ask it to stop."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, env={**os.environ, "STORE": store}
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
            await started.wait()


@asynccontextmanager
async def service(store: str) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the application by uvicorn, and yield a client of it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        port, number = listening.getsockname()[1], listening.fileno()
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "fastapi_app:app"),
            *("--fd", str(number), "--timeout-graceful-shutdown", "1"),
            env={**os.environ, "STORE": store},
            pass_fds=(number,),
        )
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=30, headers={"X-User": "ada"}) as client:
            yield client
    finally:
        started.terminate()
        assert await started.wait() in (0, -15)


@pytest.mark.guard(90)
async def test_the_service_submits_waits_and_streams(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/run.db"
    target = f"{EXAMPLES / 'fastapi_app.py'}:reports"
    async with service(store) as client:
        accepted = await client.post("/jobs/report", json={"words": ["to", "be", "to"]})
        assert accepted.status_code == 202
        async with process("lionpride", "work", target, "--store", store, "--quiet", store=store):
            state = (await client.get(f"{accepted.headers['location']}?wait=30")).json()
            assert state["result"] == {"be": 1, "to": 2}
            asked = await client.post("/jobs/answer", json={"question": "you"})
            stream = await client.get(f"{asked.headers['location']}/stream")
        chunks = [line for line in stream.text.splitlines() if line.startswith('data: "')]
        assert chunks == ['data: "it"', 'data: "depends"', 'data: "on"', 'data: "you"']
        assert stream.text.count("event: finished") == 1
        assert (await client.get("/counts")).json()["completed"] == 2
        assert (await client.get("/counts", headers={"X-User": ""})).status_code == 401
        assert (await client.get("/page/healthz")).status_code == 200
        assert (await client.get("/openapi.json")).status_code == 200
