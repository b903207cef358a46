"""examples/web_process.py: the two commands that its text names, over connections."""

from pathlib import Path

import httpx
import pytest
from web.processes import command_of, process, server


@pytest.mark.guard(90)
async def test_the_worker_runs_the_events_of_the_web_process(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/run.db"
    worker, web = (command_of("web_process.py", each, store) for each in ("lionpride", "uvicorn"))
    async with (
        server("-m", *web, "--fd", "{fd}", STORE=store) as (_, url),
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        accepted = await client.post("/reports", json={"words": ["to", "be", "to"]})
        assert accepted.status_code == 202
        path = f"/reports/{accepted.json()['id']}"
        for wait in ("nan", "-1", "x"):
            assert (await client.get(f"{path}?wait={wait}")).json() == {"status": "pending"}
        for body in ("{", "[]", '{"words": 7}'):
            assert (await client.post("/reports", content=body)).status_code == 422
        async with process(*worker, "--quiet"):
            state = (await client.get(f"{path}?wait=30")).json()
        assert (state["status"], state["result"]) == ("completed", {"be": 1, "to": 2})
