"""Requests that may look, and requests that may act."""

from typing import Any

import pytest
from web.asgi import client
from web.kit import JobExecutor

from lionpride import web

HERE = {"host": "127.0.0.1", "peer": "127.0.0.1"}


@pytest.mark.parametrize(
    ("where", "headers", "status"),
    [
        (HERE, {}, 200),
        ({"host": "localhost:8000", "peer": "::1"}, {}, 200),
        ({"host": "[::1]:8000", "peer": "::ffff:127.0.0.1"}, {}, 200),
        ({"host": "127.0.0.1", "peer": "10.0.0.7"}, {}, 403),
        ({"host": "evil.example", "peer": "127.0.0.1"}, {}, 403),  # a name that points here
        (HERE, {"x-forwarded-for": "10.0.0.7"}, 403),
        (HERE, {"forwarded": "for=10.0.0.7"}, 403),
        (HERE, {"forwarded": "for=10.0.0.7", "host": ""}, 403),
    ],
)
async def test_without_a_hook_only_requests_from_this_machine_may_look(
    where: Any, headers: Any, status: int
) -> None:
    async with client(web.app(JobExecutor()), **where) as http:
        for path in ("/", "/events", "/static/page.js", "/live"):
            if status == 403 or path != "/live":  # which does not end
                answer = await http.get(path, headers=headers)
                assert answer.status_code == status, path
        assert (await http.get("/", headers=headers)).status_code == status


async def test_without_a_hook_every_action_is_forbidden() -> None:
    executor = JobExecutor()
    async with client(web.app(executor)) as http:
        text = (await http.get("/")).text
        assert "Pause" not in text
        assert "This page is read-only" in text
        schedules = ("pause_schedule", "resume_schedule", "run_schedule")
        for what in ("retry", "cancel", *schedules, "pause", "resume", "limit"):
            assert (await http.get(f"/act?do={what}")).status_code == 403
            assert (await http.post("/act", data={"do": what})).status_code == 403
    assert not executor.paused


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_hook_is_called_for_each_action(asynchronous: bool) -> None:
    def may(request: Any, what: str) -> bool:
        return request.headers.get("x-user") == "ada" and what in ("look", "pause")

    async def may_soon(request: Any, what: str) -> bool:
        return may(request, what)

    page = web.app(JobExecutor(), authorize=may_soon if asynchronous else may)
    async with client(page, host="jobs.example", peer="10.0.0.7") as http:
        assert (await http.get("/")).status_code == 403
        http.headers["x-user"] = "ada"
        text = (await http.get("/")).text
        assert "Pause…" in text
        assert (await http.get("/act?do=pause")).status_code == 200
        assert (await http.get("/act?do=limit&limit=host")).status_code == 403


async def test_only_true_from_the_hook_permits_a_request() -> None:
    async with client(web.app(JobExecutor(), authorize=lambda _r, _w: "no")) as http:  # type: ignore[arg-type, return-value]
        assert (await http.get("/")).status_code == 403


async def test_every_response_has_the_security_headers() -> None:
    async with client(web.app(JobExecutor())) as http:
        for path in ("/", "/events", "/static/page.css", "/nowhere", "/healthz"):
            headers = (await http.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "host",
    ["[bad", "bad]", "[::1", "[::zz]", "[1.2.3.4]", "localhost:port", "a:99999", "a:1:2", "a b",
     "ü", "me@localhost", "localhost/", "localhost?", "localhost#", "[::1]x", ":80"],
)  # fmt: skip
@pytest.mark.parametrize("hook", [None, lambda _request, _what: True])
async def test_a_malformed_host_header_is_a_bad_request(host: str, hook: Any) -> None:
    async with client(web.app(JobExecutor(), authorize=hook)) as http:
        for path in ("/", "/events", "/healthz", "/static/page.js"):
            answer = await http.get(path, headers={"host": host.encode()})
            assert answer.status_code == 400, path
            assert "Host" in answer.text
        answer = await http.post("/act", data={}, headers={"host": host.encode()})
        assert answer.status_code == 400


@pytest.mark.parametrize(
    "host",
    ["localhost", "a_b.internal:8000", "[fe80::1]:80", "10.0.0.7:", "xn--mnchen-3ya.example"],
)
async def test_the_hook_decides_about_every_valid_host(host: str) -> None:
    page = web.app(JobExecutor(), authorize=lambda _request, _what: True)
    async with client(page) as http:
        assert (await http.get("/", headers={"host": host})).status_code == 200
