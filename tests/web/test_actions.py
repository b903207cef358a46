"""Actions are asked for by our own page alone, and do no more than was asked."""

from pathlib import Path
from typing import Any

import pytest
from web.asgi import client, token_of
from web.kit import Desk, Job

from lionpride import web
from lionpride.core import EventStatus


def page_of(desk: Desk) -> Any:
    return web.app(desk, authorize=lambda _request, _what: True)


async def test_a_form_of_another_site_does_nothing() -> None:
    desk = Desk()
    job = await desk.append(Job())
    async with client(page_of(desk)) as http:
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


async def test_the_cookie_is_for_this_page_alone() -> None:
    async with client(page_of(Desk())) as http:
        cookie = (await http.get("/")).headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "set-cookie" not in (await http.get("/")).headers


async def test_what_came_after_the_question_is_not_meant() -> None:
    desk = Desk()
    first = await desk.append_many([Job(), Job()])
    async with client(page_of(desk)) as http:
        text = (await http.get("/act?do=cancel&status=pending")).text
        assert "Cancel 2 events" in text
        later = await desk.append(Job())
        upto = text.partition('name="upto" value="')[2].partition('"')[0]
        form = {"do": "cancel", "status": "pending", "upto": upto, "token": token_of(text)}
        answer = await http.post("/act", data=form)
        text = (await http.get(answer.headers["location"])).text
        assert "2 events cancelled, or their workers were asked" in text
    assert {each.status for each in first} == {EventStatus.CANCELLED}
    assert later.status is EventStatus.PENDING


@pytest.mark.parametrize("amount", ["0", "-3", "nan", "inf", "many", ""])
async def test_a_limit_takes_no_nonsense(amount: str) -> None:
    desk = Desk()
    async with client(page_of(desk)) as http:
        token = token_of((await http.get("/act?do=limit&limit=host")).text)
        form = {"do": "limit", "limit": "host", "amount": amount, "token": token}
        assert (await http.post("/act", data=form)).status_code == 400
        form |= {"limit": "unknown", "amount": "3"}
        assert (await http.post("/act", data=form)).status_code == 400
    assert desk.limits["host"].amount == 3


async def test_what_is_not_there_is_not_asked_about() -> None:
    async with client(page_of(Desk())) as http:
        for query in ("do=retry&id=1", "do=cancel&id=01a21310-1ad6-7061-8aa3-b3b063d1a4fd"):
            assert (await http.get(f"/act?{query}")).status_code == 404
        assert (await http.get("/act?do=limit&limit=none")).status_code == 404
        assert (await http.get("/act?do=explode")).status_code == 403


async def test_a_pause_of_a_store_is_for_whoever_works_on_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'run.db'}"
    desk = Desk(store=url)
    job = await desk.append(Job())
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
        await desk.forward()
        assert job.status is EventStatus.PENDING
        assert (await http.post("/act", data=form | {"do": "resume"})).status_code == 303
        assert "Pause…" in (await http.get("/")).text
        assert (await http.get("/act?do=limit&limit=host")).status_code == 403
    await desk.forward()
    assert job.status is EventStatus.COMPLETED
    await page.aclose()
    await desk.store.close()


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
async def test_a_refused_post_says_what_differs(headers: Any, names: tuple[str, ...]) -> None:
    desk = Desk()
    async with client(page_of(desk), host="jobs.example:8000") as http:
        form = {"do": "pause", "token": token_of((await http.get("/act?do=pause")).text)}
        answer = await http.post("/act", data=form, headers=headers)
        assert answer.status_code == 403
        assert all(name in answer.text for name in names), answer.text
        assert not desk.paused
        origin = {"origin": "http://JOBS.example:8000"}
        assert (await http.post("/act", data=form, headers=origin)).status_code == 303
    assert desk.paused


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://jobs.example", "jobs.example:443"),
        ("http://jobs.example", "jobs.example:80"),
        ("https://jobs.example", "jobs.example"),
    ],
)
async def test_a_default_port_makes_no_difference(origin: str, host: str) -> None:
    desk = Desk()
    async with client(page_of(desk), host="jobs.example") as http:
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
async def test_a_notice_is_one_of_the_librarys_own(done: str, shown: str | None) -> None:
    desk = Desk()
    job = await desk.append(Job())
    async with client(page_of(desk)) as http:
        for path in ("/events", f"/events/{job.id}"):
            text = (await http.get(path, params={"done": done})).text
            if shown is None:
                assert 'class="notice"' not in text
                assert "555-0100" not in text
            else:
                assert shown in text


@pytest.mark.parametrize("upto", ["1e300", "-1e300", "9" * 30, "nan", "x"])
async def test_a_bound_that_is_none_is_refused(upto: str) -> None:
    desk = Desk()
    job = await desk.append(Job())
    async with client(page_of(desk)) as http:
        token = token_of((await http.get("/act?do=cancel&status=pending")).text)
        form = {"do": "cancel", "status": "pending", "upto": upto, "token": token}
        assert (await http.post("/act", data=form)).status_code == 400
    assert job.status is EventStatus.PENDING
