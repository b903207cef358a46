"""Forms of actions: only those of the page are accepted, and only confirmed events change."""

from pathlib import Path
from typing import Any

import pytest
from web.asgi import client, token_of
from web.kit import Job, JobExecutor

from lionpride import web
from lionpride.core import EventStatus


def page_of(executor: JobExecutor) -> Any:
    return web.app(executor, authorize=lambda _request, _what: True)


async def test_a_form_from_another_site_is_refused() -> None:
    executor = JobExecutor()
    job = await executor.append(Job())
    async with client(page_of(executor)) as http:
        token = token_of((await http.get(f"/act?do=cancel&id={job.id}")).text)
        form = {"do": "cancel", "id": str(job.id), "token": token}
        cookies = dict(http.cookies)
        attacks: list[dict[str, Any]] = [
            {"data": form | {"token": ""}},
            {"data": form | {"token": "ü" + token[1:]}},
            {"data": form, "headers": {"sec-fetch-site": "cross-site"}},
            {"data": form, "headers": {"sec-fetch-site": "same-site"}},
            {"data": form, "headers": {"origin": "http://evil.example"}},
            {"data": form, "headers": {"origin": "null"}},
            {"data": form | {"more": "x" * 100_000}},
        ]
        for attack in attacks:
            assert (await http.post("/act", **attack)).status_code == 403, attack
        http.cookies.clear()
        assert (await http.post("/act", data=form)).status_code == 403
        assert (await http.get(f"/act?do=cancel&id={job.id}&token={token}")).status_code == 200
        assert job.status is EventStatus.PENDING
        http.cookies.update(cookies)
        assert (await http.post("/act", data=form)).status_code == 303
    assert job.status is EventStatus.CANCELLED


async def test_the_session_cookie_is_http_only_and_strict() -> None:
    async with client(page_of(JobExecutor())) as http:
        cookie = (await http.get("/")).headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "set-cookie" not in (await http.get("/")).headers


async def test_events_appended_after_the_confirmation_page_are_not_changed() -> None:
    executor = JobExecutor()
    first = await executor.append_many([Job(), Job()])
    async with client(page_of(executor)) as http:
        text = (await http.get("/act?do=cancel&status=pending")).text
        assert "Cancel 2 events" in text
        later = await executor.append(Job())
        upto = text.partition('name="upto" value="')[2].partition('"')[0]
        form = {"do": "cancel", "status": "pending", "upto": upto, "token": token_of(text)}
        answer = await http.post("/act", data=form)
        text = (await http.get(answer.headers["location"])).text
        assert "2 events cancelled, or their workers were asked" in text
    assert {each.status for each in first} == {EventStatus.CANCELLED}
    assert later.status is EventStatus.PENDING


@pytest.mark.parametrize("amount", ["0", "-3", "nan", "inf", "many", ""])
async def test_an_invalid_amount_or_limit_name_is_refused(amount: str) -> None:
    executor = JobExecutor()
    async with client(page_of(executor)) as http:
        token = token_of((await http.get("/act?do=limit&limit=host")).text)
        form = {"do": "limit", "limit": "host", "amount": amount, "token": token}
        assert (await http.post("/act", data=form)).status_code == 400
        form |= {"limit": "unknown", "amount": "3"}
        assert (await http.post("/act", data=form)).status_code == 400
    assert executor.limits["host"].amount == 3


async def test_an_action_on_a_missing_event_or_limit_is_not_found() -> None:
    async with client(page_of(JobExecutor())) as http:
        for query in ("do=retry&id=1", "do=cancel&id=01a21310-1ad6-7061-8aa3-b3b063d1a4fd"):
            assert (await http.get(f"/act?{query}")).status_code == 404
        assert (await http.get("/act?do=limit&limit=none")).status_code == 404
        assert (await http.get("/act?do=explode")).status_code == 403


async def test_a_pause_of_a_store_applies_to_all_its_workers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'run.db'}"
    executor = JobExecutor(store=url)
    job = await executor.append(Job())
    page = web.app(url, authorize=lambda _request, _what: True)
    async with client(page) as http:
        assert "Paused" not in (await http.get("/")).text
        text = (await http.get("/act?do=pause")).text
        assert "This holds for every worker of run.db" in text
        form = {"do": "pause", "token": token_of(text)}
        assert (await http.post("/act", data=form)).status_code == 303
        text = (await http.get("/")).text
        assert "Paused" in text
        assert "Resume…" in text
        await executor.forward()
        assert job.status is EventStatus.PENDING
        assert (await http.post("/act", data=form | {"do": "resume"})).status_code == 303
        assert "Pause…" in (await http.get("/")).text
        assert (await http.get("/act?do=limit&limit=host")).status_code == 403
    await executor.forward()
    assert job.status is EventStatus.COMPLETED
    await page.aclose()
    await executor.store.close()


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        ({"origin": "https://evil.example"}, ("https://evil.example", "http://jobs.example:8000")),
        ({"origin": "http://jobs.example"}, ("http://jobs.example", "http://jobs.example:8000")),
        ({"origin": "null"}, ("null", "http://jobs.example:8000")),
        ({"origin": "http://[bad"}, ("http://[bad", "http://jobs.example:8000")),
        ({"origin": ""}, ("http://jobs.example:8000",)),
        ({"sec-fetch-site": "cross-site"}, ("another site",)),
        ({"cookie": "other=1"}, ("cookie",)),
    ],
)
async def test_a_refused_post_names_the_difference(headers: Any, names: tuple[str, ...]) -> None:
    executor = JobExecutor()
    async with client(page_of(executor), host="jobs.example:8000") as http:
        form = {"do": "pause", "token": token_of((await http.get("/act?do=pause")).text)}
        answer = await http.post("/act", data=form, headers=headers)
        assert answer.status_code == 403
        assert all(name in answer.text for name in names), answer.text
        assert not executor.paused
        origin = {"origin": "http://JOBS.example:8000"}
        assert (await http.post("/act", data=form, headers=origin)).status_code == 303
    assert executor.paused


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://jobs.example", "jobs.example:443"),
        ("http://jobs.example", "jobs.example:80"),
        ("https://jobs.example", "jobs.example"),
    ],
)
async def test_a_default_port_may_be_left_out_of_the_origin(origin: str, host: str) -> None:
    executor = JobExecutor()
    async with client(page_of(executor), host="jobs.example") as http:
        form = {"do": "pause", "token": token_of((await http.get("/act?do=pause")).text)}
        headers = {"origin": origin, "host": host}
        assert (await http.post("/act", data=form, headers=headers)).status_code == 303


@pytest.mark.parametrize(
    ("done", "shown"),
    [
        ("retry-1", "1 event is pending again"),
        ("retry-1200", "1,200 events are pending again"),
        ("cancel-2", "2 events cancelled, or their workers were asked"),
        ("Call 555-0100 and give your password", None),
        ("retry", None),
        ("retry--1", None),
        ("retry-1 and more", None),
        ("pause-1", None),
        ("retry-\u0661", None),
        ("retry-" + "9" * 40, None),
    ],
)
async def test_only_notices_of_the_page_itself_are_shown(done: str, shown: str | None) -> None:
    executor = JobExecutor()
    job = await executor.append(Job())
    async with client(page_of(executor)) as http:
        for path in ("/events", f"/events/{job.id}"):
            text = (await http.get(path, params={"done": done})).text
            if shown is None:
                assert 'class="notice"' not in text
                assert "555-0100" not in text
            else:
                assert shown in text


@pytest.mark.parametrize("upto", ["1e300", "-1e300", "9" * 30, "nan", "x"])
async def test_an_invalid_bound_is_refused(upto: str) -> None:
    executor = JobExecutor()
    job = await executor.append(Job())
    async with client(page_of(executor)) as http:
        token = token_of((await http.get("/act?do=cancel&status=pending")).text)
        form = {"do": "cancel", "status": "pending", "upto": upto, "token": token}
        assert (await http.post("/act", data=form)).status_code == 400
    assert job.status is EventStatus.PENDING
