"""examples/flask_app.py with real servers, a real worker, and a client over connections."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import httpx
import pytest
from web.test_fastapi_example import EXAMPLES, process

WERKZEUG = """
import sys
from flask_app import app
from werkzeug.serving import make_server
make_server("127.0.0.1", 0, app, threaded=True, fd=int(sys.argv[1])).serve_forever()
"""


@pytest.mark.guard(120)
@pytest.mark.parametrize("server", ["gunicorn", "werkzeug"])
async def test_the_service_submits_and_waits(server: str, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/run.db"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        port, number = listening.getsockname()[1], listening.fileno()
        options = {
            "gunicorn": (
                *("-m", "gunicorn", "--threads", "4", "--bind", f"fd://{number}"),
                "flask_app:app",
            ),
            "werkzeug": ("-c", WERKZEUG, str(number)),
        }[server]
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, *options),
            cwd=EXAMPLES,
            env={**os.environ, "STORE": store},
            pass_fds=(number,),
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            await use(client, store)
    finally:
        started.terminate()
        await started.wait()


async def use(client: httpx.AsyncClient, store: str) -> None:
    """Submit a report, and wait for its result."""
    accepted = await client.post("/reports", json={"words": ["to", "be", "to"]})
    assert accepted.status_code == 202
    path = accepted.headers["location"]
    assert (await client.get(path)).json()["status"] == "pending"
    assert (await client.post("/reports", json={"words": 7})).status_code == 422
    assert (await client.post("/reports", json={"other": 7})).status_code == 422
    assert (await client.get(f"{path[:-4]}0000")).status_code == 404
    target = f"{EXAMPLES / 'flask_app.py'}:reports"
    async with process("lionpride", "work", target, "--store", store, "--quiet", store=store):
        state = (await client.get(f"{path}?wait=30")).json()
    assert (state["status"], state["result"]) == ("completed", {"be": 1, "to": 2})
