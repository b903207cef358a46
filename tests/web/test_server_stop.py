"""A server that is asked to stop while streams are open: it ends, and its events are kept."""

import signal
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from held import held_events
from web.processes import server

from lionpride.stores.open import open_store

HERE = Path(__file__).parent
SERVERS = {
    "uvicorn": ("uvicorn", "--app-dir", str(HERE), "--fd", "{fd}"),
    "workers": ("uvicorn", "--app-dir", str(HERE), "--fd", "{fd}", "--workers", "2"),
    "gunicorn": (
        *("gunicorn", "--chdir", str(HERE), "--bind", "fd://{fd}", "--no-control-socket"),
        *("--worker-class", "uvicorn.workers.UvicornWorker"),
    ),
}
STATUSES = {"uvicorn": -signal.SIGTERM, "workers": 0, "gunicorn": 0}


@pytest.mark.guard(90)
@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize(("grace", "status"), [("60", "completed"), ("0", "pending")])
async def test_a_server_ends_while_streams_are_open(
    name: str, grace: str, status: str, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/run.db"
    command = ("-W", "ignore::DeprecationWarning", "-m", *SERVERS[name], "stopping_app:app")
    async with (
        held_events() as (port, connections),
        server(*command, PYTHONPATH=str(HERE.parent), STORE=store, GRACE=grace) as (process, url),
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        path = (await client.post("/jobs/held", json={"port": port})).headers["location"]
        writer = await connections.get()
        async with (
            client.stream("GET", f"{path}/stream") as events,
            client.stream("GET", "/page/live") as live,
        ):
            streams = [each.aiter_bytes() for each in (events, live)]
            for stream in streams:
                await anext(stream)
            process.terminate()
            for stream in streams:
                async for _ in stream:
                    pass
        if status == "completed":
            writer.close()
        assert await process.wait() == STATUSES[name]
    kept = open_store(store, queue="stopping", name="test")
    (record,) = await kept.get([UUID(path.rpartition("/")[2])])
    await kept.close()
    assert record is not None
    assert record.status == status
