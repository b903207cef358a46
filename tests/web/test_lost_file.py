"""The page of a file that is removed while it is displayed."""

import asyncio
from pathlib import Path

import pytest
from web.asgi import client, token_of
from web.kit import Job, JobExecutor

from lionpride import web
from lionpride.web.access import Access
from lionpride.web.context import PageContext
from lionpride.web.live import _changes


@pytest.mark.parametrize("kind", ["executor", "url"])
async def test_every_request_reports_that_the_file_was_removed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    executor = JobExecutor(store=f"sqlite:///{path}")
    job = await executor.append(Job())
    source = executor if kind == "executor" else str(path)
    page = web.app(source, authorize=lambda _request, _what: True)
    async with client(page) as http:
        token = token_of((await http.get(f"/act?do=cancel&id={job.id}")).text)
        assert (await http.get("/healthz")).status_code == 200
        path.unlink()
        while (answer := await http.get("/healthz")).status_code == 200:
            await asyncio.sleep(0.05)
        assert answer.status_code == 503
        assert "was removed" in answer.text
        for name in ("/", "/events", "/version", f"/events/{job.id}", "/metrics"):
            answer = await http.get(name)
            assert answer.status_code == 503, name
            assert "was removed" in answer.text
        form = {"do": "cancel", "id": str(job.id), "token": token}
        answer = await http.post("/act", data=form)
        assert answer.status_code == 503
        assert "was removed" in answer.text
    await page.aclose()
    await executor.store.close()


async def test_live_updates_report_that_the_store_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    executor = JobExecutor(store=f"sqlite:///{path}")
    await executor.append(Job())
    shown = PageContext(str(path), Access())
    said = _changes(shown)
    assert (await anext(said)).startswith("retry: ")
    assert (await anext(said)).startswith("data: ")
    elsewhere = path.rename(tmp_path / "elsewhere.db")
    assert (await anext(said)).startswith("event: unavailable\n")
    elsewhere.rename(path)
    assert (await anext(said)).startswith("data: ")
    await shown.close()
    await executor.store.close()
