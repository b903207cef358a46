"""W1: signals are hints. If all of them are lost, everything still happens, but later."""

from pathlib import Path
from typing import Any

import pytest

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.stores.listeners import Listeners
from lionpride.stores.sqlite.backend import SqliteBackend


class Task(Event):
    number: int

    async def _invoke(self) -> int:
        return self.number


class Tasks(Processor):
    event_type = Task


class Desk(Executor):
    processor_type = Tasks


async def test_w1_with_every_signal_lost_only_latency_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missed change is found after the next change of the file, such as a heartbeat."""
    looking = False

    def muffled(ring: Any) -> Any:
        return lambda listeners, *given: ring(listeners, *given) if looking else None

    for name in ("notify_ready", "notify_idle", "notify_capacity", "notify_finished"):
        monkeypatch.setattr(Listeners, name, muffled(getattr(Listeners, name)))
    look = SqliteBackend._look

    def look_around(backend: SqliteBackend) -> None:
        nonlocal looking
        looking = True
        try:
            look(backend)
        finally:
            looking = False

    monkeypatch.setattr(SqliteBackend, "_look", look_around)
    url = f"sqlite:///{tmp_path}/run.db?lease=0.3&synchronous=NORMAL"
    async with Desk({"max_queue_size": 2, "concurrency_limit": 1}, store=url) as desk:
        for number in range(3):
            assert await desk.result(await desk.append(Task(number=number))) == number
        tasks = [await desk.append(Task(number=number), wait=True) for number in range(6)]
        assert {task.id async for task in desk.as_completed(tasks)} == {task.id for task in tasks}
        await desk.join()
        assert (await desk.store.counts())[EventStatus.COMPLETED] == 9
