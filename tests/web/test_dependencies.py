"""Parents and children on the page, in a real browser."""

from pathlib import Path
from typing import Any

import pytest
from web.kit import Job, browser_tab, needs_browser, served

from lionpride import Event, Executor, Then, web

pytestmark = [needs_browser, pytest.mark.guard(90)]


class Merge(Event):
    async def _invoke(self) -> str:
        return "merged"


class Crawl(Event):
    async def _invoke(self) -> Then[Merge]:
        return Then(Merge(), after=[Job(name="of the crawl")])


def permit(request: Any, what: str) -> bool:
    return True


def make_executor(kind: str, folder: Path) -> Executor:
    store = None if kind == "memory" else f"sqlite:///{folder / 'run.db'}"
    return Executor.of(Job, Merge, Crawl, store=store, queue="jobs")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_links_parents_and_children(kind: str, scheme: str, tmp_path: Path) -> None:
    executor = make_executor(kind, tmp_path)
    page = web.app(executor, authorize=permit, name="jobs")
    async with served(page) as url, browser_tab(color_scheme=scheme) as tab:
        parents, child = [Job(name=f"page {n}") for n in range(45)], Merge()
        await executor.append_many([*parents, child], after={child: parents})

        await tab.goto(f"{url}/events")
        assert await tab.locator("td .status:text-is('blocked')").count() == 1
        await tab.select_option("[name=status]", "blocked")
        await tab.click("text=Filter")
        await tab.wait_for_url("**/events?*status=blocked*")
        assert await tab.inner_text("#total") == "1"

        await tab.click(".events tbody a")
        assert "blocked" in await tab.inner_text("#title")
        assert "waits for 45 parents" in await tab.inner_text("#why")
        assert "inf" not in await tab.inner_text("#progress")
        assert await tab.locator("#parents tbody tr").count() == 20
        assert "must complete" in await tab.inner_text("#parents")
        await tab.click("#parents >> text=More")
        await tab.click("#parents >> text=More")
        assert await tab.locator("#parents tbody tr").count() == 5

        await tab.click("#parents tbody tr:first-child a")
        assert str(parents[40].id) in await tab.inner_text("#title")
        await tab.click("#children tbody a")
        assert str(child.id) in await tab.inner_text("#title")
        await tab.click("#cancel")
        await tab.click("button.danger")
        await tab.wait_for_selector("#title >> text=cancelled")
    await executor.store.close()


async def test_the_page_links_the_continuation_of_an_event(tmp_path: Path) -> None:
    executor = make_executor("sqlite", tmp_path)
    page = web.app(executor, authorize=permit, name="jobs")
    async with served(page) as url, executor, browser_tab() as tab:
        crawl = await executor.append(Crawl())
        await executor.result(crawl)
        await tab.goto(f"{url}/events/{crawl.id}")
        assert await tab.locator("#response").count() == 0
        await tab.click("#continued a")
        assert "Merge" in await tab.inner_text("#title")
        assert "completed: met" in await tab.inner_text("#parents")
