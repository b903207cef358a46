"""A page that is served, and a real browser that opens it."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any, ClassVar

import pytest
import uvicorn
from pydantic import Field, SecretStr

from lionpride.core import Event, Executor, Processor, Retry, Skip
from lionpride.rules.limits.limit import Limit

CHROMIUM = os.environ.get("LIONPRIDE_CHROMIUM") or shutil.which("chromium")

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or find_spec("playwright") is None,
    reason="needs Chromium (`make test` installs Debian's as root; else set LIONPRIDE_CHROMIUM) "
    "and the dependency group `browser`",
)

EVIL = "<script>window.stolen = 1</script><img src=x onerror='window.stolen = 1'>"


class Job(Event):
    """Finishes as its fields say; with ``hold`` it waits until the gate of the test opens."""

    retry: ClassVar = Retry(attempts=2, backoff=0.0, jitter=False)
    gate: ClassVar[asyncio.Event | None] = None

    name: str = ""
    ends: str = "well"
    hold: bool = False
    token: SecretStr = SecretStr("a-secret-token")
    password: str = Field("a-hidden-password", repr=False)

    async def _invoke(self) -> Any:
        self.progress(0.4, f"holding {self.name}")
        if self.hold and self.gate is not None:
            await self.gate.wait()
        if self.ends == "badly":
            raise ValueError(f"no luck with {self.name}")
        if self.ends == "skipped":
            raise Skip("nothing to do")
        return {"said": self.name}


class Talk(Job):
    """Yields the texts that the test puts into its queue."""

    line: ClassVar[asyncio.Queue[str] | None] = None
    streaming: bool = True

    async def _stream(self) -> AsyncIterator[str]:
        assert self.line is not None
        while chunk := await self.line.get():
            yield chunk


class Jobs(Processor):
    event_type = Job
    limits: ClassVar = (Limit("requests", 500, per=60), Limit("host", 3))


class JobExecutor(Executor):
    processor_type = Jobs

    def __init__(self, **how: Any) -> None:
        super().__init__(grace=0.0, **how)


@asynccontextmanager
async def served(page: Any, **config: Any) -> AsyncIterator[str]:
    """Serve a page on this machine, and yield its URL."""
    server = uvicorn.Server(uvicorn.Config(page, port=0, log_config=None, ws="none", **config))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
        if task.done():
            await task
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def browser_tab(**how: Any) -> AsyncIterator[Any]:
    """Yield a tab of a real browser; an error in its console fails the test."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            context = await browser.new_context(**how)
            context.set_default_timeout(10_000)
            page = await context.new_page()
            said: list[str] = []
            page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda error: said.append(str(error)))
            yield page
            assert said == []
        finally:
            await browser.close()


async def filled(executor: JobExecutor) -> dict[str, Job]:
    """Append events of every kind."""
    jobs = {
        "good": Job(name="good"),
        "bad": Job(name="bad", ends="badly"),
        "skip": Job(name="skip", ends="skipped"),
        "evil": Job(name=EVIL, ends="badly"),
    }
    for job in jobs.values():
        await executor.append(job)
    return jobs
