"""A pause of a queue holds for all its workers, now and later."""

import asyncio
from pathlib import Path
from typing import ClassVar

import pytest
from kept import KEPT, url_of
from stores.asking import claim, put
from stores.makers import Clock

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.errors import RateLimited
from lionpride.rules.state_machine import FOR_EVER, after_error
from lionpride.stores.contract import Store
from lionpride.stores.listeners import Signal
from lionpride.stores.open import open_store


async def test_nothing_is_claimed_while_a_queue_is_paused(store: Store, clock: Clock) -> None:
    jobs = await put(store, 1.0, 2.0)
    await store.pause()
    assert await store.paused_until() == FOR_EVER
    claims, wait = await store.claim("worker", 9)
    assert claims == []
    assert wait is None or wait > 1e9
    clock.advance(1e6)
    jobs += await put(store, 0.0)
    assert await claim(store, 9, start=True) == []
    bell = asyncio.Event()
    store.subscribe(Signal.READY, bell.set, once=True)
    await store.pause(0.0)
    async with asyncio.timeout(10):
        await bell.wait()
    assert [event for event, _ in await claim(store, 9)] == [jobs[2], *jobs[:2]]


async def test_a_pause_for_a_time_ends_by_itself(store: Store, clock: Clock) -> None:
    await put(store, 1.0)
    await store.pause(clock.now + 5.0)
    assert await claim(store) == []
    clock.advance(5.0)
    assert len(await claim(store)) == 1


async def test_what_a_service_asks_for_meanwhile_does_not_end_it(store: Store) -> None:
    await put(store, 1.0, 2.0)
    ((event, attempt),) = await claim(store, start=True)
    await store.pause()
    outcome = after_error(event, RateLimited("slow down", retry_after=7), None, False)
    await store.settle([(event, attempt, outcome)])
    assert await store.paused_until() == FOR_EVER
    assert await claim(store, 9) == []


class Step(Event):
    async def _invoke(self) -> str:
        return "done"


class Steps(Processor):
    event_type: ClassVar[type[Event]] = Step


class Desk(Executor):
    processor_type: ClassVar[type[Processor]] = Steps


@pytest.mark.parametrize("kind", KEPT)
@pytest.mark.parametrize("later", [False, True])
async def test_another_process_pauses_and_resumes_the_workers(
    kind: str, later: bool, tmp_path: Path
) -> None:
    url = url_of(kind, tmp_path)
    desk = Desk(store=url)
    first = await desk.append(Step())
    other = open_store(url, queue=desk.store.queue, name="other")
    if later:  # it is paused before a worker starts
        await other.pause()
    async with desk:
        if not later:
            assert await desk.result(first) == "done"
            await other.pause()
        step = await desk.append(Step())
        why = await desk.why(step)
        held = {hold.kind: hold for hold in why.holds}["queue paused"]
        assert "paused by hand" in held.text
        assert (held.until, why.expected) == (None, None)
        assert step.status is EventStatus.PENDING
        await other.pause(0.0)
        assert await desk.result(step) == "done"
        assert await other.paused_until() == 0.0
    await other.close()
