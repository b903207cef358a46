"""Liveness and readiness of a worker, over real stores."""

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from worker.client import get

from lionpride.stores.contract import LeaseHolder
from lionpride.stores.open import open_store
from lionpride.worker import health
from lionpride.worker.health import LIVE, READY, StoreCheck, health_routes, silent_heartbeat
from lionpride.worker.http_server import listen, serve
from tools.postgres_server import Server


async def test_the_probes_answer_200_or_503_with_the_reason() -> None:
    problems = {LIVE: "", READY: ""}

    async def ready() -> str:
        return problems[READY]

    sock = listen(0)
    port = sock.getsockname()[1]
    async with serve([(sock, health_routes(lambda: problems[LIVE], ready))]):
        for path in problems:
            answer = await get(port, path, Host="anything")
            assert (answer.status, answer.text) == (200, "ok\n")
            problems[path] = "a reason"
            answer = await get(port, path)
            assert (answer.status, answer.text) == (503, "a reason\n")


@pytest.mark.guard(90)
async def test_readiness_follows_the_server_and_the_log_has_the_reason(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_CACHE_SECONDS", -1.0)
    with Server() as server:
        store = open_store(server.url, queue="q", name="q")
        check = StoreCheck(lambda: [store])
        assert await check.problem() == ""
        await asyncio.to_thread(server.stop)
        with caplog.at_level(logging.INFO, "lionpride.worker"):
            assert await check.problem() == "the store does not answer"
            assert await check.problem() == "the store does not answer"
            await asyncio.to_thread(server.start)
            while await check.problem():
                pass
        said = [each.getMessage() for each in caplog.records if each.name == "lionpride.worker"]
        assert len(said) == 2
        assert said[0].startswith("the worker is not ready: the store does not answer: ")
        assert said[1] == "the store answers again: the worker is ready"
        await store.close()


async def test_many_probes_cost_one_query(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/run.db", queue="q", name="q")
    asked = 0

    def stores() -> list[object]:
        nonlocal asked
        asked += 1
        return [store]

    check = StoreCheck(stores)  # type: ignore[arg-type]
    assert await asyncio.gather(*(check.problem() for _ in range(50))) == [""] * 50
    assert asked == 1
    await store.close()


async def test_a_store_that_hangs_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "STORE_TIMEOUT", 0.01)

    async def counts() -> None:
        await asyncio.Event().wait()

    check = StoreCheck(lambda: [SimpleNamespace(counts=counts)])  # type: ignore[list-item]
    assert await check.problem() == "the store does not answer"


async def test_a_heartbeat_is_dead_if_it_has_not_tried_for_three_leases(tmp_path: Path) -> None:
    memory = open_store("memory://", queue="m", name="m")
    store = open_store(f"sqlite:///{tmp_path}/run.db", queue="q", name="q")
    assert isinstance(store, LeaseHolder)
    assert not isinstance(memory, LeaseHolder)
    assert silent_heartbeat([memory, store]) == "", "no worker has been registered"
    store.register_worker("w", lambda _: None)
    assert silent_heartbeat([memory, store]) == ""
    await store.close()
    silent = SimpleNamespace(queue="q", lease=10.0, heartbeat_silence=31.0, renews_leases=True)
    said = silent_heartbeat([store, silent])  # type: ignore[list-item]
    assert said == "the heartbeat of queue q has not run for 31 s"
    silent.heartbeat_silence = 29.0
    assert silent_heartbeat([silent]) == ""  # type: ignore[list-item]
