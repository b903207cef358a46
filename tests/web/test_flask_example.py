"""examples/flask_app.py with real servers, a real worker, and a client over connections."""

from pathlib import Path

import httpx
import pytest
from web.processes import EXAMPLES, command_of, process, server

WERKZEUG = """
import sys
sys.path.append(sys.argv[2])
from flask_app import app
from werkzeug.serving import make_server
make_server("127.0.0.1", 0, app, threaded=True, fd=int(sys.argv[1])).serve_forever()
"""


@pytest.mark.guard(120)
@pytest.mark.parametrize("name", ["gunicorn", "werkzeug"])
async def test_the_service_submits_and_waits(name: str, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/run.db"
    command = {
        "gunicorn": ("-m", *command_of("flask_app.py", "gunicorn", store), "--bind", "fd://{fd}"),
        "werkzeug": ("-c", WERKZEUG, "{fd}", str(EXAMPLES)),
    }[name]
    async with (
        server(*command, STORE=store) as (_, url),
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
    for wait in ("nan", "-1", "x"):
        assert (await client.get(f"{path}?wait={wait}")).json()["status"] == "pending"
    async with process(*command_of("flask_app.py", "lionpride", store), "--quiet"):
        state = (await client.get(f"{path}?wait=30")).json()
    assert (state["status"], state["result"]) == ("completed", {"be": 1, "to": 2})
