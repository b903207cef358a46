"""The latest failures of a store, as the page and `top` show them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from view.kit import KINDS
from view.kit import desk_over as desk_of

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.view.office import Office
from lionpride.view.scene import failures


class Step(Event):
    """Ends as its fields say."""

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


class Desk(Executor):
    processor_type = Steps


@pytest.mark.parametrize("kind", KINDS)
async def test_events_that_were_cancelled_by_hand_are_no_failures(
    kind: str, tmp_path: Path
) -> None:
    store = desk_of(kind, tmp_path).store
    desk = Desk({"denial_backoff": 0.0}, store=store)
    running = Step(how="hang")
    ends = {
        EventStatus.FAILED: [Step(how="raise")],
        EventStatus.ABORTED: [Step(how="denied")],
        EventStatus.CANCELLED: [Step(how="hang", timeout=0.05), Step(how="cancel")],
    }
    late = await desk.append(Step(), ttl=0.01)
    await asyncio.sleep(0.02)  # it expires before a worker starts
    async with desk:
        for event in (running, Step(), *(each for some in ends.values() for each in some)):
            await desk.append(event)
        waiting = [await desk.append(Step(), delay=3600) for _ in range(120)]
        while running.status is not EventStatus.PROCESSING:
            await asyncio.sleep(0)
        for event in (running, *waiting):
            assert await desk.cancel(event)
        await desk.join()
    ends[EventStatus.CANCELLED].append(late)
    assert waiting[0].status is running.status is EventStatus.CANCELLED
    found = await failures(Office(desk), 10)
    expected = {each.id: status for status, some in ends.items() for each in some}
    assert {one.id: one.status for one in found} == expected
    assert {one.id for one in await failures(Office(desk), 2)} <= set(expected)
    await store.close()
