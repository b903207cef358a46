"""Every view and every action in a real browser, over memory and over a file."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from web.kit import EVIL, Job, JobExecutor, Talk, browser_tab, filled, needs_browser, served

from lionpride import Every, web
from lionpride.core import EventStatus

pytestmark = [needs_browser, pytest.mark.guard(90)]


def permit(request: Any, what: str) -> bool:
    return True


def make_executor(kind: str, folder: Path) -> JobExecutor:
    Job.gate, Talk.line = asyncio.Event(), asyncio.Queue()
    return JobExecutor(store=None if kind == "memory" else f"sqlite:///{folder / 'run.db'}")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_every_view_shows_the_events_in_their_states(kind: str, tmp_path: Path) -> None:
    executor = make_executor(kind, tmp_path)
    page = web.app(executor, authorize=permit, name="jobs")
    async with served(page) as url, executor, browser_tab() as tab:
        await tab.goto(url)
        jobs = await filled(executor)
        await executor.join()
        await executor.append(Job(name="held", hold=True))

        await tab.wait_for_selector("#running >> text=holding held")
        assert await tab.inner_text(".tile.s-failed .number") == "2"
        assert await tab.inner_text(".tile.s-completed .number") == "1"
        assert "no luck with bad" in await tab.inner_text("#failures")
        assert "1 of 3 at once" in await tab.inner_text("#limits")
        assert await tab.locator("#throughput .area").count() > 0

        await tab.click("nav >> text=Timeline")
        await tab.wait_for_selector(".bar.s-processing")
        assert await tab.locator(".bar").count() == 5
        await tab.click("#zoom-in")
        await tab.wait_for_url("**/timeline?from=*")
        assert await tab.locator(".bar").count() == 5

        await tab.click("nav >> text=Events")
        assert await tab.inner_text("#total") == "5"
        await tab.select_option("[name=status]", "failed")
        await tab.fill("[name=q]", "with bad")
        await tab.press("[name=q]", "Enter")
        await tab.wait_for_url("**/events?*q=with+bad*")
        assert await tab.inner_text("#total") == "1"

        await tab.click(".events tbody a")
        assert str(jobs["bad"].id) in await tab.inner_text("#title")
        assert await tab.locator(".attempts tbody tr").count() == 2
        await tab.click(".attempts tbody tr:last-child summary")
        assert "in Job._invoke" in await tab.inner_text(".attempts tbody tr:last-child pre")
        fields = await tab.inner_text("#fields")
        assert "bad" in fields
        assert "a-secret-token" not in await tab.content()
        assert "a-hidden-password" not in await tab.content()

        await tab.click("nav >> text=Workers")
        assert "running" in await tab.inner_text("#workers")
        await tab.click("#workers td a")
        assert "holding held" in await tab.inner_text("#progress")
        Job.gate.set()
        await tab.wait_for_selector("#response >> text=held")


async def test_chunks_appear_while_the_event_is_running(tmp_path: Path) -> None:
    executor = make_executor("memory", tmp_path)
    async with served(web.app(executor, authorize=permit)) as url, executor, browser_tab() as tab:
        talk = await executor.append(Talk(name="talk"))
        await tab.goto(f"{url}/events/{talk.id}")
        for chunk in ("good", "morning", EVIL):
            Talk.line.put_nowait(chunk)
            await tab.get_by_text(chunk, exact=True).wait_for()
        assert await tab.evaluate("window.stolen") is None
        Talk.line.put_nowait("")
        await tab.wait_for_selector("#title >> text=completed")
        assert await tab.locator(".chunks li").count() == 3


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_every_action_asks_for_confirmation_with_the_number_of_events(
    kind: str, tmp_path: Path
) -> None:
    executor = make_executor(kind, tmp_path)
    async with served(web.app(executor, authorize=permit)) as url, executor, browser_tab() as tab:
        jobs = await filled(executor)
        await executor.join()

        await tab.goto(f"{url}/events/{jobs['bad'].id}")
        await tab.click("#retry")
        assert await tab.inner_text("#confirm") == "Retry 1 event"
        await tab.click("#confirm")
        await tab.wait_for_selector("text=1 event is pending again")
        await executor.join()
        assert jobs["bad"].execution.attempt == 4

        await tab.goto(f"{url}/events?status=failed")
        await tab.click("#retry-all")
        assert "Retry 2 events?" in await tab.inner_text("h1")
        await tab.click("#confirm")
        await tab.wait_for_selector("text=2 events are pending again")
        await executor.join()
        assert jobs["evil"].execution.attempt == 4

        await tab.goto(url)
        await tab.click("text=Pause…")
        await tab.click("#confirm")
        await tab.wait_for_selector(".chip >> text=Paused")
        assert executor.paused
        more = await executor.append_many([Job(name="one"), Job(name="two")])
        await tab.goto(f"{url}/events?status=pending")
        await tab.click("#cancel-all")
        assert await tab.inner_text("#confirm") == "Cancel 2 events"
        await tab.click("#confirm")
        await tab.wait_for_selector("text=2 events cancelled")
        assert {each.status for each in more} == {EventStatus.CANCELLED}
        await tab.click("text=Resume…")
        await tab.click("#confirm")
        await tab.wait_for_selector("text=Pause…")
        assert not executor.paused

        await tab.click("[aria-label='Change the limit requests']")
        await tab.fill("[name=amount]", "77")
        await tab.click("#confirm")
        await tab.wait_for_selector("#limits >> text=of 77")
        assert executor.limits["requests"].amount == 77


async def test_the_page_polls_if_server_sent_events_are_blocked(tmp_path: Path) -> None:
    executor = make_executor("memory", tmp_path)
    async with served(web.app(executor, authorize=permit)) as url, executor, browser_tab() as tab:
        await tab.route("**/live", lambda route: route.fulfill(status=204))
        await tab.goto(url)
        await tab.wait_for_selector("#live >> text=Polling")
        await filled(executor)
        await tab.wait_for_selector(".tile.s-failed >> text=2")
        await tab.click("#live")
        assert await tab.inner_text("#live") == "Paused"


async def test_data_of_events_is_not_run_as_code(tmp_path: Path) -> None:
    executor = make_executor("sqlite", tmp_path)
    async with (
        served(web.app(executor, authorize=permit, name=EVIL)) as url,
        executor,
        browser_tab() as tab,
    ):
        jobs = await filled(executor)
        await executor.schedule(EVIL, Job(name=EVIL), Every(86_400))
        uid = await executor.schedules.run(EVIL)
        await executor.join()
        schedule = await executor.schedules.get(EVIL)
        places = ["", "timeline", "events", f"events/{jobs['evil'].id}", "workers", "schedules"]
        places += [f"events/{uid}", f"act?do=run_schedule&schedule={schedule.id}"]
        for path in [*places, f"events?q={EVIL}&kind={EVIL}&queue={EVIL}", f"events?done={EVIL}"]:
            await tab.goto(f"{url}/{path}")
            assert await tab.evaluate("window.stolen") is None, path
            assert await tab.locator("img").count() == 0


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 360)], ids=["light and wide", "dark and narrow"]
)
async def test_no_view_has_a_serious_accessibility_problem(
    scheme: Any, width: int, tmp_path: Path
) -> None:
    from axe_playwright_python.async_playwright import Axe

    executor = make_executor("memory", tmp_path)
    how = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    async with (
        served(web.app(executor, authorize=permit)) as url,
        executor,
        browser_tab(**how) as tab,
    ):
        jobs = await filled(executor)
        await executor.join()
        await executor.append(Job(name="held", hold=True))
        talk = await executor.append(Talk(name="talk"))
        Talk.line.put_nowait("a word")
        schedule = await executor.schedule("daily", Job(), Every(86_400), overlap="skip")
        await executor.schedule("hourly", Job(), Every(3_600))
        await executor.schedules.pause("hourly")
        uid = await executor.schedules.run("daily")
        paths = ["", "timeline", "events", "workers", "act?do=retry", "act?do=limit&limit=host"]
        paths += ["schedules", "schedules?done=pause_schedule"]
        paths += [f"schedules?done=run_schedule-{uid}"]
        paths += [f"act?do=run_schedule&schedule={schedule.id}", f"events/{uid}"]
        paths += [f"events/{each.id}" for each in (jobs["evil"], talk)]
        for path in paths:
            await tab.goto(f"{url}/{path}")
            found = (await Axe().run(tab)).response["violations"]
            bad = [each for each in found if each["impact"] in ("serious", "critical")]
            assert bad == [], (path, [(e["id"], e["nodes"][0]["html"]) for e in bad])
            wider = await tab.evaluate("document.documentElement.scrollWidth > innerWidth")
            assert not wider, path
        Job.gate.set()
        Talk.line.put_nowait("")


async def test_the_page_can_be_used_with_the_keyboard_alone(tmp_path: Path) -> None:
    executor = make_executor("memory", tmp_path)
    async with served(web.app(executor, authorize=permit)) as url, executor, browser_tab() as tab:
        await tab.goto(f"{url}/timeline")
        jobs = await filled(executor)
        await executor.join()
        await tab.wait_for_selector(".bar.s-failed")
        await tab.keyboard.press("Tab")
        assert await tab.evaluate("document.activeElement.className") == "skip"
        await tab.locator(".bars a").first.focus()
        await tab.keyboard.press("ArrowRight")
        link = await tab.evaluate("document.activeElement.getAttribute('href')")
        await tab.keyboard.press("Enter")
        await tab.wait_for_url(f"**{link}")
        assert link.rpartition("/")[2] in {str(each.id) for each in jobs.values()}
        await tab.go_back()
        await tab.keyboard.press("-")
        await tab.wait_for_url("**/timeline?from=*")
