"""The latest failures of a store, as the page and `top` show them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from view.kit import KINDS, make_executor

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.view.monitor import Monitor


class Step(Event):
    """Finishes as its field says."""

    how: str = "return"

    @property
    def request(self) -> dict[str, Any]:
        return {"how": self.how}

    async def _invoke(self) -> Any:
        if self.how == "raise":
            raise ValueError("no luck")
        if self.how == "hang":
            await asyncio.Event().wait()
        if self.how == "cancel":
            raise asyncio.CancelledError
        return self.how


class Steps(Processor):
    event_type = Step

    async def request_permission(self, *, how: str, **_: Any) -> bool:
        return how != "denied"


class StepExecutor(Executor):
    processor_type = Steps


@pytest.mark.parametrize("kind", KINDS)
async def test_events_cancelled_by_hand_are_not_listed_as_failures(
    kind: str, tmp_path: Path
) -> None:
    store = make_executor(kind, tmp_path).store
    executor = StepExecutor({"denial_backoff": 0.0}, store=store)
    running = Step(how="hang")
    ends = {
        EventStatus.FAILED: [Step(how="raise")],
        EventStatus.ABORTED: [Step(how="denied")],
        EventStatus.CANCELLED: [Step(how="hang", timeout=0.05), Step(how="cancel")],
    }
    late = await executor.append(Step(), ttl=0.01)
    await asyncio.sleep(0.02)  # it expires before a worker starts
    async with executor:
        for event in (running, Step(), *(each for some in ends.values() for each in some)):
            await executor.append(event)
        waiting = [await executor.append(Step(), delay=3600) for _ in range(120)]
        while running.status is not EventStatus.PROCESSING:
            await asyncio.sleep(0)
        for event in (running, *waiting):
            assert await executor.cancel(event)
        await executor.join()
    ends[EventStatus.CANCELLED].append(late)
    assert waiting[0].status is running.status is EventStatus.CANCELLED
    found = await Monitor(executor).failures(10)
    expected = {each.id: status for status, some in ends.items() for each in some}
    assert {one.id: one.status for one in found} == expected
    assert {one.id for one in await Monitor(executor).failures(2)} <= set(expected)
    await store.close()
