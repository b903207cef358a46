"""The overview fits on a phone of 360 pixels, whatever the store holds."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pytest
from web.kit import browser_tab, needs_browser, served

from lionpride import Every, web
from lionpride.core import Event, Executor, Processor
from lionpride.rules.limits.limit import Limit

pytestmark = [needs_browser, pytest.mark.guard(90)]

LONG = "https://shop.example.net/" + "a-path-without-any-blank/" * 4


class FetchOfAClassWithAVeryLongNameThatSaysAllThatItDoesAndMore(Event):
    """Fails, with an error of one long word; ``wait`` keeps it until it is cancelled."""

    url: str = LONG
    wait: bool = False

    @property
    def key(self) -> str:
        return self.url

    async def _invoke(self) -> None:
        self.progress(0.5, LONG)
        if self.wait:
            await asyncio.Event().wait()
        raise ValueError(LONG)


class Fetches(Processor):
    event_type = FetchOfAClassWithAVeryLongNameThatSaysAllThatItDoesAndMore
    limits: ClassVar = (Limit("requests", 123_456_789.5, per=60, per_key=True), Limit("x" * 60, 9))


class Fetcher(Executor):
    processor_type = Fetches


async def test_the_overview_fits_on_a_phone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / ('crawler-of-the-whole-catalogue' * 2 + '.db')}"
    fetch = FetchOfAClassWithAVeryLongNameThatSaysAllThatItDoesAndMore
    first = Fetcher(store=url, queue="a-queue-with-a-long-name" * 3, grace=0.0)
    second = Fetcher(store=url, queue="another.queue.with.a.long.name" * 3)
    await second.append(fetch())
    page = web.app(url, authorize=lambda _request, _what: True)
    how = {"viewport": {"width": 360, "height": 740}}
    async with first, served(page) as where, browser_tab(**how) as tab:
        await first.append(fetch())
        await first.join()
        await first.append(fetch(wait=True))
        every = Every(90.5)
        options: dict[str, Any] = {"missed": "all", "overlap": "replace", "jitter": 30, "ttl": 900}
        await first.schedule("a-schedule-with-a-long-name" * 3, fetch(wait=True), every, **options)
        await first.schedules.run("a-schedule-with-a-long-name" * 3)
        for paused in (False, True):
            if paused:
                await first.store.pause()  # type: ignore[attr-defined]
            for path in ("", "workers", "events", "timeline", "schedules"):
                await tab.goto(f"{where}/{path}")
                if not path:
                    await tab.wait_for_selector("#running li")
                    await tab.wait_for_selector("#failures li")
                    await tab.wait_for_selector("#queues")
                    await tab.wait_for_selector("#limits .gauge")
                if path == "schedules":
                    await tab.wait_for_selector("#schedules tbody tr")
                width = await tab.evaluate("document.documentElement.scrollWidth")
                wide = await tab.evaluate(TOO_WIDE)
                assert (width, wide) == (360, []), path


TOO_WIDE = """() => [...document.querySelectorAll("body *")].filter((one) => {
  if (one.closest("svg, .scroll, .hidden, .skip, pre, nav, .chunks")) return false;
  return one.getBoundingClientRect().right > innerWidth + 0.5;
}).map((one) => `${one.tagName} ${one.className} ${one.textContent.trim().slice(0, 40)}`)"""
"""Elements that stand out on the right, but for those in a place that scrolls by itself."""
