"""examples/flask_app.py with real servers, a real worker, and a client over connections."""

from pathlib import Path

import httpx
import pytest
from web.processes import EXAMPLES, process, server

WERKZEUG = """
import sys
sys.path.append(sys.argv[2])
from flask_app import app
from werkzeug.serving import make_server
make_server("127.0.0.1", 0, app, threaded=True, fd=int(sys.argv[1])).serve_forever()
"""


SERVERS = {
    "gunicorn": (
        *("-m", "gunicorn", "--chdir", str(EXAMPLES), "--threads", "4", "--bind", "fd://{fd}"),
        "flask_app:app",
    ),
    "werkzeug": ("-c", WERKZEUG, "{fd}", str(EXAMPLES)),
}


@pytest.mark.guard(120)
@pytest.mark.parametrize("name", SERVERS)
async def test_the_service_submits_and_waits(name: str, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/run.db"
    async with (
        server(*SERVERS[name], STORE=store) as (_, url),
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        await use(client, store)


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
    async with process("lionpride", "work", target, "--store", store, "--quiet"):
        state = (await client.get(f"{path}?wait=30")).json()
    assert (state["status"], state["result"]) == ("completed", {"be": 1, "to": 2})
