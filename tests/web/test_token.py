"""The token of a page without a hook: in a URL, a cookie, or a header."""

import asyncio
import logging
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from web.asgi import client, token_of
from web.kit import Job, JobExecutor, browser_tab, needs_browser, served

from lionpride import web
from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.errors import ConfigurationError
from lionpride.rules.limits.limit import Limit
from lionpride.stores.memory import MemoryStore

SECRET = "a secret of all processes"
PROBES = ("/healthz", "/metrics")


def permit(request: Any, what: str) -> bool:
    return True


async def test_without_its_token_a_page_shows_nothing() -> None:
    executor = JobExecutor()
    job = await executor.append(Job(name="not for permit"))
    page = web.app(executor)
    async with client(page, token=False) as http:
        for path in ("/", "/events", f"/events/{job.id}", "/static/page.js", "/live", "/version"):
            answer = await http.get(path)
            assert answer.status_code == 401, path
            assert "token" in answer.text
            assert answer.headers["www-authenticate"] == "Bearer"
            assert page.token not in answer.text
        assert (await http.post("/act", data={"do": "cancel"})).status_code == 401


@pytest.mark.parametrize("wrong", ["", "x", "é", " ", "{token}x", "{short}"])
async def test_a_wrong_token_is_refused_in_every_place(wrong: str) -> None:
    page = web.app(JobExecutor())
    wrong = wrong.format(token=page.token, short=page.token[:-1])
    async with client(page, token=False) as http:
        answer = await http.get("/events", params={"token": wrong})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        headers = {"authorization": f"Bearer {wrong}".encode()}
        assert (await http.get("/events", headers=headers)).status_code == 401
        headers = {"cookie": f"lionpride-token={wrong}".encode()}
        assert (await http.get("/events", headers=headers)).status_code == 401
        basic = {"authorization": f"Basic {page.token}"}
        assert (await http.get("/events", headers=basic)).status_code == 401


async def test_a_browser_exchanges_the_token_for_a_cookie() -> None:
    page = web.app(JobExecutor())
    async with client(page, host="127.0.0.1:8321", token=False) as http:
        query = {"status": "failed", "token": page.token, "q": "a & b"}
        answer = await http.get("/events", params=query)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/events?status=failed&q=a+%26+b"
        assert answer.headers["cache-control"] == "no-store"
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "path=/" in cookie
        assert page.token not in answer.headers["set-cookie"]
        answer = await http.get(answer.headers["location"])
        assert answer.status_code == 200
        assert "a &amp; b" in answer.text


async def test_the_cookie_of_another_page_is_refused() -> None:
    one, other = web.app(JobExecutor()), web.app(JobExecutor())
    async with client(one, token=False) as http:
        await http.get("/", params={"token": one.token})
        cookies = dict(http.cookies)
        assert (await http.get("/")).status_code == 200
    async with client(other, token=False) as http:
        http.cookies.update(cookies)
        assert (await http.get("/")).status_code == 401
        http.headers["authorization"] = f"Bearer {one.token}"
        assert (await http.get("/")).status_code == 401


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/%5cevil.example"])
async def test_the_redirect_stays_on_this_page(path: str) -> None:
    page = web.app(JobExecutor())
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "root_path": "",
        "query_string": f"token={page.token}".encode(),
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "scheme": "http",
        "http_version": "1.1",
    }

    async def send(message: Any) -> None:
        sent.append(message)

    await page(scope, None, send)  # type: ignore[arg-type]
    location = dict(sent[0]["headers"])[b"location"].decode()
    assert sent[0]["status"] == 303
    assert urlsplit(location).netloc == ""
    assert not location.startswith(("//", "/\\"))


async def test_the_cookie_of_a_mounted_page_is_limited_to_its_path() -> None:
    page = web.app(JobExecutor())
    async with client(Starlette(routes=[Mount("/admin/jobs", page)])) as http:
        answer = await http.get("/admin/jobs/events", params={"token": page.token})
        assert answer.headers["location"] == "/admin/jobs/events"
        assert "path=/admin/jobs;" in answer.headers["set-cookie"].lower()
        assert (await http.get("/admin/jobs/events")).status_code == 200


async def test_the_token_is_refused_from_another_machine() -> None:
    page = web.app(JobExecutor())
    places: list[dict[str, str]] = [
        {"peer": "10.0.0.7"},
        {"host": "evil.example"},
    ]
    for place in places:
        async with client(page, **place) as http:  # type: ignore[arg-type]
            assert (await http.get("/")).status_code == 403
            answer = await http.get("/", params={"token": page.token})
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers


async def test_the_url_with_the_token_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    page = web.app(JobExecutor())
    outer = Starlette(routes=[Mount("/jobs", page)])
    with caplog.at_level(logging.WARNING, "lionpride.web"):
        async with client(outer, host="evil.example:8000") as http:
            await http.get("/jobs/")
        assert not caplog.records
        async with client(outer, host="localhost:8000") as http:
            await http.get("/jobs/events")
            await http.get("/jobs/events")
            (record,) = caplog.records
            url = record.getMessage().split()[-1]
            assert url == f"http://localhost:8000/jobs/?token={page.token}"
            assert (await http.get(url, follow_redirects=True)).status_code == 200


async def test_a_script_with_the_token_may_look_and_not_act() -> None:
    executor = JobExecutor()
    job = await executor.append(Job())
    async with client(web.app(executor)) as http:
        assert (await http.get("/events")).status_code == 200
        form = {"do": "cancel", "id": str(job.id)}
        assert (await http.post("/act", data=form)).status_code == 403
    assert job.status is EventStatus.PENDING


# -- probes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where", [{}, {"host": "10.0.0.3:8000", "peer": "10.0.0.7"}, {"host": "jobs.internal"}]
)
async def test_probes_need_no_token_and_accept_any_host(where: Any) -> None:
    async with client(web.app(JobExecutor()), token=False, **where) as http:
        for path in PROBES:
            for headers in ({}, {"x-forwarded-for": "10.0.0.9"}):
                assert (await http.get(path, headers=headers)).status_code == 200, path
                assert (await http.head(path, headers=headers)).status_code == 200, path
            assert (await http.post(path)).status_code in (401, 403), path
        for path in ("/healthz/", "//healthz", "/events/healthz", "/metrics/../events", "/"):
            assert (await http.get(path)).status_code in (401, 403), path


async def test_probes_of_a_mounted_page_are_answered() -> None:
    outer = Starlette(routes=[Mount("/jobs", web.app(JobExecutor()))])
    async with client(outer, host="jobs.internal", peer="10.0.0.7") as http:
        for path in PROBES:
            assert (await http.get(f"/jobs{path}")).status_code == 200


async def test_the_hook_is_called_for_probes() -> None:
    asked: list[str] = []

    def may(request: Any, what: str) -> bool:
        asked.append(what)
        return what == "probe" and request.headers.get("x-scraper") == "yes"

    async with client(web.app(JobExecutor(), authorize=may), host="jobs.example") as http:
        for path in PROBES:
            assert (await http.get(path)).status_code == 403
            assert (await http.get(path, headers={"x-scraper": "yes"})).status_code == 200
        assert asked[0] == "probe"
        assert (await http.get("/", headers={"x-scraper": "yes"})).status_code == 403


async def test_probes_without_a_token_contain_no_details(tmp_path: Any) -> None:
    (tmp_path / "no.db").write_text("this is no database, and long enough to be looked at" * 9)
    page = web.app(str(tmp_path / "no.db"))
    async with client(page, token=False) as http:
        for path in PROBES:
            answer = await http.get(path)
            assert answer.status_code == 503
            assert str(tmp_path) not in answer.text
    async with client(page) as http:
        assert str(tmp_path) in (await http.get("/healthz")).text
    await page.aclose()


class Mail(Event):
    to: str

    @property
    def key(self) -> str:
        return self.to

    async def _invoke(self) -> None:
        return None


class Mails(Processor):
    event_type = Mail
    limits: ClassVar = (Limit("requests", 5, per=600, per_key=True),)


class Mailer(Executor):
    processor_type = Mails


async def test_metrics_without_a_token_contain_no_keys_of_limits() -> None:
    mailer = Mailer()
    page = web.app(mailer)
    async with mailer:
        await mailer.append(Mail(to="ada@example.org"))
        await mailer.join()
        async with client(page, token=False) as http:
            text = (await http.get("/metrics")).text
            assert "lionpride_events" in text
            assert "ada@example.org" not in text
        async with client(page) as http:
            assert "ada@example.org" in (await http.get("/metrics")).text


async def test_many_requests_for_metrics_are_answered_from_a_cache() -> None:
    asked: list[str] = []

    class Counting(MemoryStore):
        async def counts(self) -> Any:
            asked.append("counts")
            return await super().counts()

    page = web.app(Counting("busy"))
    async with client(page, token=False) as http:
        answers = await asyncio.gather(*(http.get("/metrics") for _ in range(50)))
        assert {each.status_code for each in answers} == {200}
        assert len(asked) < 5
    asked.clear()
    async with client(page) as http:
        for _ in range(3):
            await http.get("/metrics")
        assert len(asked) == 3
    await page.aclose()


# -- several processes -------------------------------------------------------------------------


async def test_processes_with_one_secret_accept_each_others_forms_and_cookies() -> None:
    executor = JobExecutor()
    first, second = (web.app(executor, authorize=permit, secret=SECRET) for _ in range(2))
    job = await executor.append(Job())
    async with client(first) as http:
        token = token_of((await http.get(f"/act?do=cancel&id={job.id}")).text)
        cookies = dict(http.cookies)
    async with client(second) as http:
        http.cookies.update(cookies)
        form = {"do": "cancel", "id": str(job.id), "token": token}
        assert (await http.post("/act", data=form)).status_code == 303
    assert job.status is EventStatus.CANCELLED
    one, other = (web.app(executor, secret=SECRET.encode()) for _ in range(2))
    assert one.token == other.token
    assert one.token != web.app(executor, secret=SECRET + "!").token


async def test_a_form_of_another_process_is_refused_with_the_remedy() -> None:
    executor = JobExecutor()
    async with client(web.app(executor, authorize=permit)) as http:
        token = token_of((await http.get("/act?do=pause")).text)
        cookies = dict(http.cookies)
    async with client(web.app(executor, authorize=permit)) as http:
        http.cookies.update(cookies)
        answer = await http.post("/act", data={"do": "pause", "token": token})
        assert answer.status_code == 403
        assert "secret" in answer.text
    assert not executor.paused


@pytest.mark.parametrize("secret", ["", "short", b"fifteen bytes..", 7])
def test_a_secret_that_is_too_short_is_refused(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        web.app(JobExecutor(), secret=secret)


# -- in a browser ------------------------------------------------------------------------------


@needs_browser
@pytest.mark.guard(90)
async def test_a_browser_with_the_token_stays_logged_in() -> None:
    executor = JobExecutor()
    page = web.app(executor, name="jobs")
    async with served(page) as url, executor, browser_tab() as tab:
        await tab.goto(f"{url}/events?status=pending&token={page.token}")
        assert tab.url == f"{url}/events?status=pending"
        await tab.click("nav >> text=Overview")
        await tab.wait_for_selector("#live >> text=Live")
        await executor.append(Job(name="seen"))
        await tab.wait_for_selector(".tile.s-completed >> text=1")
        assert await tab.evaluate("document.cookie") == ""


@needs_browser
@pytest.mark.guard(90)
async def test_a_link_with_the_token_on_another_site_works() -> None:
    executor = JobExecutor()
    page = web.app(executor)
    here = {"url": ""}

    async def elsewhere(request: Any) -> HTMLResponse:
        link = f'<a href="{here["url"]}/events?token={page.token}">the page</a>'
        return HTMLResponse(f'<link rel="icon" href="data:,">{link}')

    other = Starlette(routes=[Route("/", elsewhere)])
    async with served(page) as here["url"], served(other) as there, browser_tab() as tab:
        await tab.goto(there.replace("127.0.0.1", "localhost"), wait_until="domcontentloaded")
        await tab.click("text=the page")
        await tab.wait_for_selector("#total")
        assert tab.url == f"{here['url']}/events"


async def test_a_real_server_refuses_requests_forwarded_by_a_default_proxy() -> None:
    page = web.app(JobExecutor())
    async with served(page) as url, httpx.AsyncClient() as http:
        as_nginx_does = {"host": url.removeprefix("http://"), "connection": "close"}
        answer = await http.get(f"{url}/events", headers=as_nginx_does)
        assert answer.status_code == 401
