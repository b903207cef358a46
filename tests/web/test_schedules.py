"""Schedules on the page: the view, what may be done there, and the page of an event."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from engine.firing import fire
from stores.makers import Clock
from web.asgi import client, token_of
from web.kit import EVIL, browser_tab, needs_browser, served

from lionpride import Cron, Event, Every, Executor, NotFoundError, web
from lionpride.core import EventStatus
from lionpride.stores.memory import MemoryStore

DAY = 86_400.0


class Report(Event):
    team: str = "all"

    async def _invoke(self) -> str:
        return self.team


class Sweep(Event, schedules={"sweep": Every(3 * DAY)}):
    async def _invoke(self) -> None:
        raise ValueError("nothing to sweep")


def permit(request: Any, what: str) -> bool:
    return True


def make_executor(kind: str, folder: Path, **how: Any) -> Executor:
    store = None if kind == "memory" else f"sqlite:///{folder / 'run.db'}"
    return Executor.of(Report, Sweep, store=store, queue="reports", **how)


async def id_of(executor: Executor, name: str) -> UUID:
    return (await executor.schedules.get(name)).id


def rows_of(text: str) -> dict[str, str]:
    """Return the rows of the table as text, by the name of the schedule."""
    rows = re.findall(r"<tr>\s*(<th scope=\"row\">.*?)</tr>", text, re.DOTALL)
    plain = [re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", row)).strip() for row in rows]
    return {row.partition(" ")[0]: row for row in plain}


async def test_without_schedules_the_view_says_how_to_make_one() -> None:
    async with client(web.app(Executor.of(Report))) as http:
        text = (await http.get("/schedules")).text
    assert "There are no schedules" in text
    assert "executor.schedule(" in text
    assert 'href="/schedules" aria-current="page"' in text


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_the_view_shows_rule_state_instants_and_options(kind: str, tmp_path: Path) -> None:
    executor = make_executor(kind, tmp_path)
    cron = Cron("30 2 * * *", tz="Europe/Berlin")
    await executor.schedule("nightly", Report(), cron, overlap="skip", jitter=60, ttl=3600)
    await executor.schedule("weekly", Report(), Every(7 * DAY))
    await executor.schedules.pause("weekly")
    page = web.app(executor, authorize=permit)
    async with client(page) as http:
        async with executor:
            uid = await executor.schedules.run("sweep")
            await executor.join()
            assert "active" in rows_of((await http.get("/schedules")).text)["sweep"]
        text = (await http.get("/schedules")).text
        rows = rows_of(text)
        following = (await executor.schedules.get("nightly")).next
        assert following is not None
        assert list(rows) == ["nightly", "sweep", "weekly"]
        assert "Report active 30 2 * * * Europe/Berlin overlap=skip, jitter=60" in rows["nightly"]
        assert "30:00 in " in rows["nightly"]
        assert "ttl=3600" in rows["nightly"]
        assert "Sweep undeclared No live worker declares it. every 3 days" in rows["sweep"]
        assert "failed none Pause… Run now…" in rows["sweep"]
        assert f'href="/events/{uid}"' in text
        assert "Report paused every 7 days none none none Resume… Run now…" in rows["weekly"]
        assert "queue" not in text.partition("<tbody>")[0].partition("<thead>")[2]
        await executor.remove(uid)
        text = (await http.get("/schedules")).text
        assert f"/events/{uid}" not in text
        assert "removed" in rows_of(text)["sweep"]
    await executor.store.close()


async def test_the_view_shows_the_last_skipped_instant_with_its_reason() -> None:
    clock = Clock(100 * DAY)
    executor = Executor.of(Report, store=MemoryStore("reports", clock=clock), max_queue_size=1)
    await executor.append(Report())
    await executor.schedule("daily", Report(), Every(DAY))
    clock.now += DAY
    await fire(executor)
    async with client(web.app(executor)) as http:
        row = rows_of((await http.get("/schedules")).text)["daily"]
    assert "1970-04-12 00:00:00 the queue was full" in row
    assert "Run now" not in row  # the page is read-only


async def test_a_schedule_without_further_instants_can_only_be_run() -> None:
    executor = Executor.of(Report)
    await executor.schedule("once", Report(), Every(DAY))
    old = await executor.schedules.get("once")
    assert await executor.store.change_schedule(old, replace(old, next=None, version="2"))
    async with client(web.app(executor, authorize=permit)) as http:
        row = rows_of((await http.get("/schedules")).text)["once"]
    assert "over every 1 day none none none Run now…" in row


async def test_schedules_of_several_queues_are_listed_with_their_queue(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'run.db'}"
    executors = [Executor.of(Report, store=url, queue=name) for name in ("one", "two")]
    for executor in executors:
        await executor.schedule("daily", Report(), Every(DAY))
    page = web.app(url, authorize=permit)
    async with client(page) as http:
        text = (await http.get("/schedules")).text
        assert re.findall(r'data-label="queue">(\w+)<', text) == ["one", "two"]
        uid = await id_of(executors[1], "daily")
        asked = (await http.get(f"/act?do=run_schedule&schedule={uid}")).text
        assert "to the queue two" in asked
        form = {"do": "run_schedule", "schedule": str(uid), "token": token_of(asked)}
        assert (await http.post("/act", data=form)).status_code == 303
    assert (await executors[0].store.counts())[EventStatus.PENDING] == 0
    assert (await executors[1].store.counts())[EventStatus.PENDING] == 1
    await page.aclose()
    for executor in executors:
        await executor.store.close()


@pytest.mark.parametrize("inside", [True, False])
async def test_a_schedule_is_paused_resumed_and_run_after_confirmation(
    inside: bool, tmp_path: Path
) -> None:
    executor = make_executor("sqlite", tmp_path)
    await executor.schedule("daily", Report(), Every(DAY))
    uid = await id_of(executor, "daily")
    url = f"sqlite:///{tmp_path / 'run.db'}"
    page = web.app(executor if inside else url, authorize=permit)
    async with client(page) as http:
        for what, words, notice, is_paused in (
            ("pause_schedule", "Pause the schedule “daily”?", "The schedule is paused", True),
            ("resume_schedule", "Resume the schedule “daily”?", "The schedule is resumed", False),
        ):
            asked = (await http.get(f"/act?do={what}&schedule={uid}")).text
            assert words in asked
            assert (await executor.schedules.get("daily")).is_paused is not is_paused
            form = {"do": what, "schedule": str(uid), "token": token_of(asked)}
            answer = await http.post("/act", data=form)
            assert notice in (await http.get(answer.headers["location"])).text
            assert (await executor.schedules.get("daily")).is_paused is is_paused
            asked = (await http.get(f"/act?do={what}&schedule={uid}")).text
            assert "This action is no longer possible" in asked
            assert 'id="confirm"' not in asked
        asked = (await http.get(f"/act?do=run_schedule&schedule={uid}")).text
        assert "Run the schedule “daily” now?" in asked
        form = {"do": "run_schedule", "schedule": str(uid), "token": token_of(asked)}
        answer = await http.post("/act", data=form)
        text = (await http.get(answer.headers["location"])).text
        (event,) = re.findall(
            r'The schedule has appended the event <a href="/events/([^"]+)"', text
        )
        shown = (await http.get(f"/events/{event}")).text
        assert '<dt>schedule</dt><dd><a href="/schedules">daily</a>' in shown
        assert "<dt>scheduled for</dt>" in shown
        other = await executor.append(Report())
        assert "<dt>schedule</dt>" not in (await http.get(f"/events/{other.id}")).text
    assert (await executor.schedules.get("daily")).last is not None
    await page.aclose()
    await executor.store.close()


async def test_an_action_on_a_missing_schedule_or_a_full_queue_is_refused() -> None:
    executor = Executor.of(Report, max_queue_size=1)
    await executor.schedule("daily", Report(), Every(DAY))
    uid = await id_of(executor, "daily")
    await executor.append(Report())
    async with client(web.app(executor, authorize=permit)) as http:
        token = token_of((await http.get(f"/act?do=run_schedule&schedule={uid}")).text)
        form = {"do": "run_schedule", "schedule": str(uid), "token": token}
        answer = await http.post("/act", data=form)
        assert answer.status_code == 409
        assert "max_queue_size" in answer.text
        await executor.schedules.remove("daily")
        for given in (str(uid), "daily", ""):
            query = {"do": "run_schedule", "schedule": given}
            assert (await http.get("/act", params=query)).status_code == 404
            assert (await http.post("/act", data=query | {"token": token})).status_code == 404
        assert (await http.post("/act", data=form | {"token": ""})).status_code == 403
    with pytest.raises(NotFoundError):
        await executor.schedules.get("daily")


async def test_each_action_on_a_schedule_is_permitted_by_its_own_name() -> None:
    executor = Executor.of(Report)
    await executor.schedule("daily", Report(), Every(DAY))
    uid = await id_of(executor, "daily")

    def may(request: Any, what: str) -> bool:
        return what in ("look", "run_schedule")

    async with client(web.app(executor, authorize=may)) as http:
        text = (await http.get("/schedules")).text
        assert "Run now: daily" in text
        assert "Pause: daily" not in text
        assert (await http.get(f"/act?do=pause_schedule&schedule={uid}")).status_code == 403
        asked = (await http.get(f"/act?do=run_schedule&schedule={uid}")).text
        form = {"schedule": str(uid), "token": token_of(asked)}
        answer = await http.post("/act", data=form | {"do": "pause_schedule"})
        assert answer.status_code == 403
        assert not (await executor.schedules.get("daily")).is_paused
    async with client(web.app(executor)) as http:
        assert "Run now" not in (await http.get("/schedules")).text
        assert (await http.get(f"/act?do=run_schedule&schedule={uid}")).status_code == 403


async def test_a_notice_of_a_schedule_does_not_take_words_from_the_url() -> None:
    async with client(web.app(Executor.of(Report))) as http:
        for done in ("run_schedule-now", "run_schedule", "pause_schedule-please", EVIL):
            assert "notice" not in (await http.get("/schedules", params={"done": done})).text


@needs_browser
@pytest.mark.guard(90)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_schedules_are_operated_in_a_browser(kind: str, tmp_path: Path) -> None:
    executor = make_executor(kind, tmp_path)
    page = web.app(executor, authorize=permit, name="reports")
    async with served(page) as url, executor, browser_tab() as tab:
        await tab.goto(url)
        await tab.click("nav >> text=Schedules")
        assert await tab.locator("#schedules tbody tr").count() == 1
        await executor.schedule("daily", Report(team="a"), Every(DAY))
        await tab.wait_for_selector("#schedules tbody th >> text=daily")
        await executor.schedules.pause("daily")  # no event changes
        await tab.wait_for_selector("tr:has-text('daily') >> text=paused")

        await tab.click("[aria-label='Resume: daily']")
        await tab.click("#confirm")
        await tab.wait_for_selector(".notice >> text=The schedule is resumed")
        await tab.click("[aria-label='Run now: daily']")
        assert "Run the schedule “daily” now?" in await tab.inner_text("h1")
        await tab.click("#confirm")
        await tab.wait_for_selector("tr:has-text('daily') >> text=completed")
        await tab.click(".notice a")
        assert "Report" in await tab.inner_text("#title")
        assert "daily" in await tab.inner_text("#progress")
        await tab.click("#progress a >> text=daily")
        await tab.wait_for_selector("#schedules")
