"""Makes the pictures of the documents, from what is really shown: ``make screenshots``.

A crawler runs for a quarter of an hour of virtual time into a file, and goes on for a few seconds
of real time while a browser looks at it. It needs a Chromium.
"""

from __future__ import annotations

import asyncio
import io
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import time
from typing import Any, ClassVar

import uvicorn
from playwright.async_api import Browser, async_playwright
from pydantic import SecretStr
from rich.console import Console

from lionpride import web
from lionpride.cli.commands.top import Top
from lionpride.cli.output.dashboard import Choice
from lionpride.core import Event, Executor, Processor, Retry, Skip
from lionpride.rules.limits.limit import Limit
from lionpride.stores.sqlite import SqliteStore
from lionpride.testing import run_virtual
from lionpride.view.monitor import Monitor

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
MINUTES = 14
CHANCE = random.Random(11)  # noqa: S311  # a demonstration
HOSTS = ("example.org", "docs.example.org", "shop.example.net", "cdn.example.com")


class FetchPage(Event):
    """A page of a crawler: it takes a while, and may fail."""

    retry: ClassVar = Retry(max_attempts=3, backoff=2.0)
    url: str
    token: SecretStr = SecretStr("not for everybody")

    @property
    def key(self) -> str:
        return self.url.split("/")[2]

    async def _invoke(self) -> dict[str, Any]:
        parts = CHANCE.randint(3, 9)
        slow = 3.0 if "shop" in self.url else 1.0
        for part in range(parts):
            self.progress(part / parts, f"part {part + 1} of {parts}")
            await asyncio.sleep(slow * CHANCE.expovariate(4.0))
        luck = CHANCE.random()
        if luck < (0.5 if "shop" in self.url else 0.06):
            raise ConnectionError(f"{self.key} did not answer within 10 s")
        if luck > 0.97:
            raise Skip("not modified since the last visit")
        return {"status": 200, "bytes": CHANCE.randint(900, 90_000)}


class Pages(Processor):
    event_type = FetchPage
    limits: ClassVar = (
        Limit("requests", 60, per=10),
        Limit("host", 5, per_key=True),
    )


class Crawler(Executor):
    processor_type = Pages


def page(made: float | None = None) -> FetchPage:
    host = CHANCE.choices(HOSTS, (4, 3, 2, 1))[0]
    url = f"https://{host}/{CHANCE.choice('abcdef')}/{CHANCE.randint(1, 9999)}"
    return FetchPage(url=url, created_at=time() if made is None else made)


async def feed(
    crawler: Crawler, until: Callable[[], bool], now: Callable[[], float] = time
) -> None:
    """Append pages now and then, in waves; ``now`` is the time at which they are made."""
    clock = asyncio.get_running_loop().time
    while not until():
        wave = 1.0 + 0.8 * (int(clock()) // 90 % 2)
        await crawler.append(page(now()))
        await asyncio.sleep(CHANCE.expovariate(2.2 * wave))


async def past(path: Path) -> None:
    """A quarter of an hour, in virtual time."""
    loop = asyncio.get_running_loop()
    begin = time() - 60.0 * MINUTES - loop.time()

    def clock() -> float:
        return min(begin + loop.time(), time())

    store = SqliteStore(path, "pages", clock=clock, synchronous="NORMAL")
    crawler = Crawler({"concurrency_limit": 12}, store=store)
    end = loop.time() + 60.0 * MINUTES
    async with crawler:
        await feed(crawler, lambda: loop.time() > end, clock)
    await store.close()


async def present(path: Path, look: Callable[[str, Crawler], Awaitable[None]]) -> None:
    """Go on in real time, while somebody looks."""
    url = f"sqlite:///{path}"
    crawler = Crawler({"concurrency_limit": 12}, store=url, queue="pages", grace=0.0)
    shown = web.app(crawler, authorize=lambda _request, _what: True, name="crawler")
    config = uvicorn.Config(shown, port=0, log_config=None, ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    over = asyncio.Event()
    async with crawler:
        feeding = asyncio.create_task(feed(crawler, over.is_set))
        await asyncio.sleep(12.0)
        await of_top(crawler)
        await look(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", crawler)
        over.set()
        await feeding
    server.should_exit = True
    await serving


async def of_notebook() -> None:
    """What a notebook shows of a run in memory."""
    async with Crawler({"concurrency_limit": 8}) as crawler:
        await crawler.append_many([page() for _ in range(40)])
        await crawler.join()
        crawler.timeline("40 pages").save(str(PICTURES / "timeline.svg"))


async def of_top(crawler: Crawler) -> None:
    """The terminal, as rich draws it."""
    top = Top(Monitor(crawler), "crawler.db")
    top.choice = Choice("failures", 1)
    await top.look()
    await asyncio.sleep(2.0)  # what ended before is counted meanwhile
    await top.look()
    console = Console(width=80, height=24, record=True, file=io.StringIO(), highlight=False)
    console.print(top.drawn(), height=24)
    svg = console.export_svg(title="lionpride top", unique_id="top")
    svg = re.sub(r"@font-face {.*?}", "", svg, flags=re.DOTALL)  # it would load fonts
    (PICTURES / "top.svg").write_text(svg, "utf-8")
    await top.history.close()


async def of_pages(browser: Browser, url: str) -> None:
    """Every view, and two of them in the dark and on a phone."""
    wide = {"viewport": {"width": 1200, "height": 760}}
    dark = {"color_scheme": "dark"}
    phone = {"viewport": {"width": 390, "height": 780}, "device_scale_factor": 1.5}
    for name, path, how in (
        ("web-overview", "", wide),
        ("web-overview-dark", "", wide | dark),
        ("web-overview-phone", "", phone),
        ("web-timeline", "timeline?last=1m", wide),
        ("web-events", "events", wide),
        ("web-event", "failed", wide),
        ("web-act", "act?do=retry&status=failed", wide),
    ):
        context = await browser.new_context(**how)  # type: ignore[arg-type]
        tab = await context.new_page()
        if path == "failed":
            await tab.goto(f"{url}/events?status=failed")
            await tab.click(".events tbody a >> nth=0")
            await tab.wait_for_selector("#fields")
        else:
            await tab.goto(f"{url}/{path}")
        await tab.wait_for_timeout(400)
        await tab.screenshot(path=PICTURES / f"{name}.png", full_page=path in ("", "failed"))
        await context.close()


async def pictures(path: Path, chromium: str) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        await present(path, lambda url, _: of_pages(browser, url))
        await browser.close()


def main() -> None:
    chromium = os.environ.get("LIONPRIDE_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("no Chromium: install it, or set LIONPRIDE_CHROMIUM")
    PICTURES.mkdir(exist_ok=True)
    # Where a commit takes no time: else virtual time would run on meanwhile.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # as pytest does
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        path = Path(folder) / "crawler.db"
        run_virtual(past(path))
        asyncio.run(of_notebook())
        asyncio.run(pictures(path, chromium))


if __name__ == "__main__":
    main()
