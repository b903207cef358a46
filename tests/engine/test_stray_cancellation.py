"""A worker is cancelled by code that has kept its task: the claims of the worker are not lost."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lionpride.core import Event, EventStatus, Executor, Limit, Processor
from lionpride.stores.sqlite import SqliteStore

TURNS = range(24)
"""Turns of the event loop before the cancellation: more than a claim and a settlement take."""

KEPT: list[asyncio.Task[Any]] = []


class Call(Event):
    tokens: int = 1

    @property
    def costs(self) -> Mapping[str, float]:
        return {"tokens": self.tokens}

    async def _invoke(self) -> int:
        return self.tokens


class Keeper(Call):
    """Keeps the task that runs it."""

    async def _invoke(self) -> int:
        task = asyncio.current_task()
        assert task is not None
        KEPT[:] = [task]
        return 0


class CallProcessor(Processor):
    event_type: ClassVar[type[Event]] = Call


class Calls(Executor):
    processor_type: ClassVar[type[Processor]] = CallProcessor


class AskingProcessor(CallProcessor):
    async def request_permission(self, **_: Any) -> bool:
        return True


class AskingCalls(Executor):
    processor_type: ClassVar[type[Processor]] = AskingProcessor


async def cancelled_after(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    KEPT[0].cancel()


@pytest.mark.parametrize("kind", [Calls, AskingCalls])
@pytest.mark.parametrize("turns", TURNS)
async def test_claims_of_a_worker_that_is_cancelled_at_any_turn_run(
    turns: int, kind: type[Executor], tmp_path: Path
) -> None:
    limit = Limit("tokens", 100, per=0.01)
    store = SqliteStore(tmp_path / "queue.db", "q", lease=600)
    async with kind({"limits": [limit], "concurrency_limit": 3}, store=store) as calls:
        await calls.result(await calls.append(Keeper()))
        await calls.pause()
        refused = await calls.append_many([Call(tokens=90) for _ in range(2)])
        good = await calls.append_many([Call() for _ in range(4)])
        calls.limits["tokens"].amount = 50
        await calls.resume()
        await cancelled_after(turns)
        await calls.join()
    assert {event.status for event in refused} == {EventStatus.FAILED}
    assert {event.status for event in good} == {EventStatus.COMPLETED}
    await store.close()
