"""Whether a process is alive, as machines ask."""

import asyncio
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from web.asgi import client
from web.kit import Desk, Job

from lionpride import web
from lionpride.web.access import Access
from lionpride.web.desk import LATELY
from lionpride.web.desk import Desk as Shown


async def test_a_store_that_answers_is_well(tmp_path: Path) -> None:
    desk = Desk(store=f"sqlite:///{tmp_path / 'run.db'}")
    await desk.append(Job())
    for source in (desk, desk.store):
        async with client(web.app(source)) as http:
            answer = await http.get("/healthz")
            assert (answer.status_code, answer.text) == (200, "ok\n")
    await desk.store.close()


async def test_an_executor_whose_run_has_ended_while_events_wait_is_not() -> None:
    desk = Desk()
    shown = Shown(desk, Access())
    assert shown.idle_for(1, 0.0) == 0.0  # it was not started
    await desk.start()
    assert desk.processor is not None
    assert shown.idle_for(1, 10.0) == 0.0
    assert shown.idle_for(1, 10.0 + LATELY) == 0.0
    assert shown.idle_for(1, 11.0 + LATELY) == 1.0 + LATELY
    assert shown.idle_for(0, 12.0 + LATELY) == 0.0  # nothing waits
    run = asyncio.create_task(desk.processor.execute())
    await asyncio.sleep(0)
    assert shown.idle_for(1, 500.0) == 0.0  # it works
    await desk.stop()
    await run
    assert shown.idle_for(1, 900.0) == 0.0  # it is meant to rest
    await desk.start()
    await desk.pause()
    assert shown.idle_for(1, 1900.0) == 0.0
    await shown.close()


async def test_its_figures_are_there_for_prometheus(tmp_path: Path) -> None:
    desk = Desk(store=f"sqlite:///{tmp_path / 'run.db'}")
    await desk.append(Job())
    for source in (desk, desk.store):
        async with client(web.app(source)) as http:
            answer = await http.get("/metrics")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            families = {each.name for each in text_string_to_metric_families(answer.text)}
            assert "lionpride_events" in families
            assert ("lionpride_attempt_seconds" in families) is (source is desk)
    await desk.store.close()
