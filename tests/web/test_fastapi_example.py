"""examples/fastapi_app.py with a real server, a real worker, and a client over connections."""

import signal
from pathlib import Path

import httpx
import pytest
from web.processes import command_of, process, server


@pytest.mark.guard(90)
async def test_the_service_submits_waits_and_streams(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/run.db"
    worker, web = (command_of("fastapi_app.py", each, store) for each in ("lionpride", "uvicorn"))
    async with (
        server("-m", *web, "--fd", "{fd}", STORE=store) as (service, url),
        httpx.AsyncClient(base_url=url, timeout=30, headers={"X-User": "ada"}) as client,
    ):
        accepted = await client.post("/jobs/report", json={"words": ["to", "be", "to"]})
        assert accepted.status_code == 202
        async with process(*worker, "--quiet"):
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
        service.terminate()
        assert await service.wait() in (0, -signal.SIGTERM)
