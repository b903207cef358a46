"""A web process that appends events and answers requests. Workers, in other processes, run them.

Start both as often as there is work for each, on one store::

    lionpride work examples/web_process.py --store sqlite:///run.db
    STORE=sqlite:///run.db uvicorn --app-dir examples web_process:app

    curl -d '{"words": ["to", "be"]}' http://127.0.0.1:8000/reports
    curl http://127.0.0.1:8000/reports/ID?wait=10

Both have to import the module under the same name, here ``web_process``: it is part of the names
of the events and of their queue. With ``postgresql://…`` as the store, both may run on different
machines. As a script, ``python examples/web_process.py``, it does all of it once: it starts a
worker, asks, and prints.
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
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lionpride import Event, EventStatus, Executor
from lionpride.errors import QueueFullError

LONGEST = 30.0  # seconds that a request may wait for a result


class Report(Event):
    """Counts words, slowly."""

    words: list[str]

    async def _invoke(self) -> dict[str, int]:
        for done in range(5):
            self.progress(done / 5, f"chapter {done + 1} of 5")
            await asyncio.sleep(0.1)
        return {word: self.words.count(word) for word in sorted(set(self.words))}


def make_app(store: str) -> Starlette:
    """Return the web application. Its executor is never started, so it runs no events."""
    reports = Executor.of(Report, max_queue_size=10_000, store=store)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await reports.store.close()

    async def create(request: Request) -> JSONResponse:
        try:
            report = Report(**await request.json())
        except (TypeError, ValueError) as error:  # not JSON, or not the fields
            return JSONResponse({"error": str(error)}, 422)
        try:
            await reports.append(report)  # on disk when this returns
        except QueueFullError:
            return JSONResponse({"error": "too many reports"}, 503, {"Retry-After": "30"})
        return JSONResponse({"id": str(report.id)}, 202)

    async def show(request: Request) -> JSONResponse:
        uid: UUID = request.path_params["id"]
        with suppress(ValueError):  # not a number: no wait
            if (seconds := float(request.query_params.get("wait", 0))) > 0:
                await wait(uid, min(seconds, LONGEST))
        (record,) = await reports.store.get([uid])
        if record is None:
            return JSONResponse({"error": "no such report"}, 404)
        answer: dict[str, Any] = {"status": record.status.value}
        if record.progress is not None:
            answer["progress"] = record.progress._asdict()
        if record.status is EventStatus.COMPLETED:
            answer["result"] = record.payload["execution"]["response"]
        elif record.status is EventStatus.FAILED:
            answer["error"] = record.payload["execution"]["error"]["message"]
        return JSONResponse(answer)

    async def wait(uid: UUID, seconds: float) -> None:
        """Return when the report has finished, or after some seconds."""
        with suppress(Exception):  # `show` reads the outcome
            async with asyncio.timeout(seconds):
                await reports.result(uid)

    routes = [
        Route("/reports", create, methods=["POST"]),
        Route("/reports/{id:uuid}", show),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


app = make_app(os.environ.get("STORE", "sqlite:///run.db"))


@contextmanager
def worker(store: str) -> Iterator[None]:
    """Run a worker in a process of its own until the end of the block."""
    command = [sys.executable, "-m", "lionpride", "work", __file__, "--store", store, "--quiet"]
    with subprocess.Popen(command) as process:  # noqa: S603  our own command
        yield
        process.terminate()


async def main(store: str) -> None:
    """Ask for a report, print its progress, and wait for it."""
    app = make_app(store)
    transport = httpx.ASGITransport(app)  # in place of a server
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://reports") as client,
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
