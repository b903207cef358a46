"""A web process that only appends and answers; workers run the events, elsewhere and later.

Start the two as often as there is work for each, on one store::

    lionpride work examples/web_desk.py --store sqlite:///run.db
    STORE=sqlite:///run.db uvicorn examples.web_desk:app

    curl -d '{"words": ["to", "be"]}' http://127.0.0.1:8000/reports
    curl http://127.0.0.1:8000/reports/ID?wait=10

With ``postgresql://…`` in place of the file they may stand on different machines. As a script,
``python examples/web_desk.py``, it is all of them once: it starts a worker, asks, and prints.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.errors import QueueFullError

LONGEST = 30.0  # seconds that a request waits for a result


class Report(Event):
    """Counts words, and takes its time."""

    words: list[str]

    async def _invoke(self) -> dict[str, int]:
        for done in range(5):
            self.progress(done / 5, f"chapter {done + 1} of 5")
            await asyncio.sleep(0.1)
        return {word: self.words.count(word) for word in sorted(set(self.words))}


class Reports(Processor):
    event_type = Report


class Desk(Executor):
    processor_type = Reports


def make_app(store: str) -> Starlette:
    """The web process: its desk is never started, so it runs nothing."""
    desk = Desk({"max_queue_size": 10_000}, store=store)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await desk.store.close()

    async def create(request: Request) -> JSONResponse:
        try:
            report = Report(**await request.json())
        except ValidationError as error:
            return JSONResponse({"error": str(error)}, 422)
        try:
            await desk.append(report)  # on disk when this returns
        except QueueFullError:
            return JSONResponse({"error": "too much to do"}, 503, {"Retry-After": "30"})
        return JSONResponse({"id": str(report.id)}, 202)

    async def show(request: Request) -> JSONResponse:
        uid: UUID = request.path_params["id"]
        if seconds := min(float(request.query_params.get("wait", 0)), LONGEST):
            await wait(uid, seconds)
        (record,) = await desk.store.get([uid])
        if record is None:
            return JSONResponse({"error": "no such report"}, 404)
        said: dict[str, Any] = {"status": record.status.value}
        if record.progress is not None:
            said["progress"] = record.progress._asdict()
        if record.status is EventStatus.COMPLETED:
            said["result"] = record.payload["execution"]["response"]
        elif record.status is EventStatus.FAILED:
            said["error"] = record.payload["execution"]["error"]["message"]
        return JSONResponse(said)

    async def wait(uid: UUID, seconds: float) -> None:
        """Return when the report has ended, or the time is over."""
        with suppress(Exception):  # whatever it came to: `show` looks it up
            async with asyncio.timeout(seconds):
                await desk.result(uid)

    routes = [
        Route("/reports", create, methods=["POST"]),
        Route("/reports/{id:uuid}", show),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


app = make_app(os.environ.get("STORE", "sqlite:///run.db"))


@contextmanager
def worker(store: str) -> Iterator[None]:
    """A worker in a process of its own, which drains at the end of the block."""
    command = [sys.executable, "-m", "lionpride", "work", __file__, "--store", store, "--quiet"]
    with subprocess.Popen(command) as process:  # noqa: S603  our own command
        yield
        process.terminate()


async def main(store: str) -> None:
    """Ask for a report, look how far it is, and wait for it."""
    app = make_app(store)
    transport = httpx.ASGITransport(app)  # in place of a server
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://desk") as client,
    ):
        answer = await client.post(
            "/reports", json={"words": ["to", "be", "or", "not", "to", "be"]}
        )
        path = f"/reports/{answer.json()['id']}"
        print(answer.status_code, "accepted;", (await client.get(path)).json())
        with worker(store):
            while (said := (await client.get(f"{path}?wait=0.2")).json())["status"] != "completed":
                print(said)
        print(said)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(os.environ.get("STORE", f"sqlite:///{Path(folder) / 'run.db'}")))
