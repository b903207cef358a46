"""The health check and the metrics of the page."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from web.asgi import client
from web.kit import Job, JobExecutor

from lionpride import web
from lionpride.web.access import Access
from lionpride.web.context import MAX_IDLE, PageContext


async def test_healthz_is_200_if_the_store_answers(tmp_path: Path) -> None:
    executor = JobExecutor(store=f"sqlite:///{tmp_path / 'run.db'}")
    await executor.append(Job())
    for source in (executor, executor.store):
        async with client(web.app(source)) as http:
            answer = await http.get("/healthz")
            assert (answer.status_code, answer.text) == (200, "ok\n")
    await executor.store.close()


async def test_healthz_is_503_if_events_wait_and_no_worker_runs() -> None:
    executor = JobExecutor()
    shown = PageContext(executor, Access())
    assert shown.idle_for(1, 0.0) == 0.0  # it was not started
    await executor.start()
    assert executor.processor is not None
    assert shown.idle_for(1, 10.0) == 0.0
    assert shown.idle_for(1, 10.0 + MAX_IDLE) == 0.0
    assert shown.idle_for(1, 11.0 + MAX_IDLE) == 1.0 + MAX_IDLE
    assert shown.idle_for(0, 12.0 + MAX_IDLE) == 0.0  # nothing waits
    run = asyncio.create_task(executor.processor.execute())
    await asyncio.sleep(0)
    assert shown.idle_for(1, 500.0) == 0.0  # a worker runs the event
    await executor.stop()
    await run
    assert shown.idle_for(1, 900.0) == 0.0  # a stopped executor need not run events
    await executor.start()
    await executor.pause()
    assert shown.idle_for(1, 1900.0) == 0.0
    await shown.close()


async def test_healthz_is_200_if_all_pending_events_are_scheduled_or_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lionpride.web.context.MAX_IDLE", -1.0)
    executor = JobExecutor()
    await executor.start()  # no worker runs
    later = await executor.append(Job(), delay=1000)
    await executor.append(Job(created_at=executor.store.time() - 100), after=later)
    async with client(web.app(executor)) as http:
        answers = [await http.get("/healthz") for _ in range(3)]
        assert {answer.status_code for answer in answers} == {200}
        await executor.append(Job(created_at=executor.store.time() - 100))
        answers = [await http.get("/healthz") for _ in range(3)]
        assert answers[-1].status_code == 503
    await executor.stop()


async def test_metrics_are_served_for_prometheus(tmp_path: Path) -> None:
    executor = JobExecutor(store=f"sqlite:///{tmp_path / 'run.db'}")
    await executor.append(Job())
    for source in (executor, executor.store):
        async with client(web.app(source)) as http:
            answer = await http.get("/metrics")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            families = {each.name for each in text_string_to_metric_families(answer.text)}
            assert "lionpride_events" in families
            assert ("lionpride_attempt_seconds" in families) is (source is executor)
    await executor.store.close()


async def test_metrics_count_what_ran_before_the_first_request() -> None:
    executor = JobExecutor()
    page = web.app(executor)
    async with executor:
        await executor.append(Job())
        await executor.join()
        async with client(page) as http:
            found = text_string_to_metric_families((await http.get("/metrics")).text)
        (settled,) = [each for each in found if each.name == "lionpride_settled"]
        assert [sample.value for sample in settled.samples] == [1]
    await page.aclose()
    assert not executor.observers.level


async def test_metrics_are_openmetrics_if_the_request_accepts_them() -> None:
    executor = JobExecutor()
    page = web.app(executor)
    async with client(page) as http:
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        answer = await http.get("/metrics", headers=accept)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")
    await page.aclose()
