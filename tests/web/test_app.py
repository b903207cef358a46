"""The page as part of other applications, over every kind of source."""

import asyncio
from pathlib import Path
from time import time
from typing import Any

import pytest
from kept import url_of
from starlette.applications import Starlette
from starlette.routing import Mount
from stores.makers import postgres
from web.asgi import client
from web.kit import Job, JobExecutor

from lionpride import Retry, web
from lionpride.errors import ConfigurationError
from lionpride.stores.memory import MemoryStore
from lionpride.stores.open import open_store


async def test_the_page_can_be_mounted_below_any_path() -> None:
    executor = JobExecutor()
    job = await executor.append(Job(name="mounted"))
    page = web.app(executor)
    outer = Starlette(routes=[Mount("/admin/jobs", page)])
    async with client(outer) as http:
        http.headers["authorization"] = f"Bearer {page.token}"
        text = (await http.get("/admin/jobs/events")).text
        assert f'href="/admin/jobs/events/{job.id}"' in text
        assert 'src="/admin/jobs/static/page.js"' in text
        assert (await http.get("/admin/jobs/static/page.js")).status_code == 200
        assert (await http.get(f"/admin/jobs/events/{job.id}")).status_code == 200
        assert (await http.get("/admin/jobs/")).status_code == 200
    await page.aclose()


async def test_the_source_may_be_a_store_or_its_url(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'run.db'}"
    executor = JobExecutor(store=url)
    job = await executor.append(Job(name="kept"))
    for source in (url, str(tmp_path / "run.db"), executor.store):
        page = web.app(source)
        async with client(page) as http:
            assert str(job.id) in (await http.get("/events")).text
            assert "kept" in (await http.get(f"/events/{job.id}")).text
            assert (await http.get("/workers")).status_code == 200
        await page.aclose()
    await executor.store.close()


async def test_the_source_may_be_a_database() -> None:
    store = postgres(time)
    executor = JobExecutor(store=store, queue=store.queue)
    job = await executor.append(Job(name="on a server"))
    page = web.app(store)
    async with client(page) as http:
        assert str(job.id) in (await http.get("/events?status=pending")).text
        assert "on a server" in (await http.get(f"/events/{job.id}")).text
        for path in ("/", "/timeline", "/workers", "/healthz", "/version", "/events?q=a&kind=b"):
            assert (await http.get(path)).status_code == 200, path
    await page.aclose()
    await store.close()


async def test_the_list_is_sent_before_the_events_are_counted() -> None:
    asked = asyncio.Event()

    class Slow(MemoryStore):
        async def counts(self):  # type: ignore[no-untyped-def]
            asked.set()
            return await super().counts()

    page = web.app(Slow("slow"))
    sent: list[bytes] = []

    async def send(message):  # type: ignore[no-untyped-def]
        sent.append(message.get("body", b""))

    async def receive():  # type: ignore[no-untyped-def]
        await asyncio.Event().wait()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/events",
        "root_path": "",
        "query_string": b"kind=any",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {page.token}".encode())],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    await page(scope, receive, send)
    parts = [part for part in sent if part]
    assert len(parts) == 3
    assert b"<form" in parts[0]
    assert b"No event matches" in parts[1]
    assert b'id="total">0' in parts[2]
    await page.aclose()


async def test_a_store_that_does_not_answer_is_reported(tmp_path: Path) -> None:
    (tmp_path / "no.db").write_text("this is no database, and long enough to be looked at" * 9)
    page = web.app(str(tmp_path / "no.db"))
    async with client(page) as http:
        for path in ("/", "/healthz", "/version"):
            answer = await http.get(path)
            assert answer.status_code == 503, path
            assert "is no SQLite database" in answer.text
    await page.aclose()


@pytest.mark.parametrize("spelling", ["{path}", "sqlite:///{path}", "sqlite+aiosqlite:///{path}"])
async def test_a_page_of_a_missing_file_does_not_create_it(spelling: str, tmp_path: Path) -> None:
    path = tmp_path / "typo.db"
    page = web.app(spelling.format(path=path))
    async with client(page) as http:
        for asked in ("/", "/events", "/workers", "/timeline", "/version", "/healthz", "/metrics"):
            answer = await http.get(asked)
            assert answer.status_code == 503, asked
            assert "typo.db" in answer.text
            assert "no such file" in answer.text
        assert not list(tmp_path.iterdir())
        executor = JobExecutor(store=f"sqlite:///{path}")
        job = await executor.append(Job())
        assert str(job.id) in (await http.get("/events")).text
    await page.aclose()
    await executor.store.close()


async def test_a_page_of_an_empty_file_leaves_it_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    page = web.app(str(path))
    async with client(page) as http:
        assert (await http.get("/")).status_code == 503
    await page.aclose()
    assert path.stat().st_size == 0
    assert list(tmp_path.iterdir()) == [path]


async def test_a_page_of_a_database_without_tables_does_not_create_them() -> None:
    url = url_of("postgres", Path())
    page = web.app(url)
    store: Any = open_store(url, queue="any", name="any")
    async with client(page) as http:
        answer = await http.get("/")
        assert answer.status_code == 503
        assert "no tables" in answer.text
    await page.aclose()
    assert (await store.schema()).found == 0
    await store.close()


async def test_text_that_is_no_utf8_breaks_no_page() -> None:
    executor = JobExecutor()
    jobs = [Job(name="caf\udce9"), Job(name="\ud800", ends="badly")]
    await executor.append_many(jobs)
    async with executor:
        await executor.join()
    page = web.app(executor)
    async with client(page) as http:
        for path in ("/", "/events", "/timeline", *(f"/events/{job.id}" for job in jobs)):
            assert (await http.get(path)).status_code == 200
        assert "caf\\udce9" in (await http.get(f"/events/{jobs[0].id}")).text
    await page.aclose()


def test_any_other_source_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        web.app(object())  # type: ignore[arg-type]


async def test_another_process_shows_the_traceback_of_each_attempt(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'run.db'}"
    executor = JobExecutor(store=url)
    job = await executor.append(Job(name="bad", ends="badly"))
    async with executor:
        await executor.join()
    page = web.app(url)
    async with client(page) as http:
        text = (await http.get(f"/events/{job.id}")).text
    assert text.count("<summary>Traceback</summary>") == len(job.execution.attempts) == 2
    assert "in Job._invoke" in text
    await page.aclose()


async def test_a_success_at_the_third_attempt_is_shown_as_3_attempts(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'run.db'}"
    executor = JobExecutor(store=url)
    job = await executor.append(Third(), retry=Retry(max_attempts=4, backoff=0.0))
    async with executor:
        await executor.join()
    page = web.app(url)
    async with client(page) as http:
        text = (await http.get(f"/events/{job.id}")).text
        rows = (await http.get("/events")).text
    assert "<dt>attempts</dt><dd>3</dd>" in text
    assert "<dt>failures</dt><dd>2</dd>" in text
    assert '<th scope="col" class="num">attempts</th>' in rows
    assert '<td class="num">3</td>' in rows
    assert "tries" not in rows
    await page.aclose()


class Third(Job):
    """Succeeds at its third attempt."""

    async def _invoke(self) -> Any:
        if self.execution.attempt_number < 3:
            raise ValueError("too early")
