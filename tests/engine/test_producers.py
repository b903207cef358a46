"""Producers without a worker: they append and wait, and other processes run the events."""

import asyncio
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from engine.goods import Desk, Gate, Pages, Square
from kept import KEPT, url_of

import lionpride
from lionpride.core import EventStatus
from lionpride.errors import EventCancelledError, ExecutionError

QUEUE = "goods"
PATHS = (Path(lionpride.__file__).parents[1], Path(__file__).parents[1])


class Shop:
    """A store, a desk that only appends, and workers in processes of their own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.gate = folder / "gate"
        self.desk = self.other()

    def other(self, **settings) -> Desk:
        return Desk(settings, store=self.url, queue=QUEUE)

    @contextmanager
    def worker(self):
        command = ["work", "engine.goods:Desk", "--store", self.url, "--queue", QUEUE, "--quiet"]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS))}
        process = subprocess.Popen([sys.executable, "-m", "lionpride", *command], env=env)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture(params=KEPT)
def shop(request, tmp_path):
    return Shop(url_of(request.param, tmp_path), tmp_path)


async def processing(desk, event):
    """Wait until some worker runs an event and has said how far it is; its record."""
    while True:
        (record,) = await desk.store.get([event.id])
        if record.progress is not None:
            return record
        await asyncio.sleep(0.01)


@pytest.mark.promise("results-across-processes")
async def test_a_result_and_an_error_come_from_another_process(shop):
    desk = shop.desk
    with shop.worker():
        good, bad = await desk.append_many([Square(number=9), Square(number=-1)])
        assert await desk.result(good) == 81
        assert (good.status, good.response) == ("completed", 81)
        with pytest.raises(ExecutionError, match="-1 is below zero"):
            await desk.result(bad)
        assert bad.status == "failed"
        assert desk.status_counts()["failed"] == 1
    assert desk.processor is None, "it appends and asks, and runs nothing"
    await desk.store.close()


async def test_many_results_come_as_the_events_end(shop):
    desk = shop.desk
    with shop.worker():
        events = await desk.append_many([Square(number=n) for n in range(20)])
        assert {each.response async for each in desk.as_completed(events)} == {
            n * n for n in range(20)
        }
        source = (Square(number=n) for n in range(50))
        assert [each.response async for each in desk.map(source)] == [n * n for n in range(50)]
    assert desk.processor is None
    await desk.store.close()


@pytest.mark.guard(20)
async def test_results_that_are_there_are_given_at_once(shop):
    """One after another: each has ended before it is waited for."""
    desk = shop.desk
    with shop.worker():
        events = await desk.append_many([Square(number=n) for n in range(200)])
        for number, event in enumerate(events):
            assert await desk.result(event) == number**2
    await desk.store.close()


@pytest.mark.promise("results-across-processes")
async def test_chunks_come_while_another_process_makes_them(shop):
    with shop.worker():
        event = await shop.desk.append(Pages(path=str(shop.gate)))
        seen = []
        async for chunk in shop.desk.stream(event):
            seen.append(chunk)
            shop.gate.touch()  # only now can there be another
        assert seen == ["first", "last"]
        assert await shop.desk.result(event) == ["first", "last"]
    await shop.desk.store.close()


@pytest.mark.promise("results-across-processes")
async def test_how_far_it_is_is_on_record_and_it_can_be_cancelled(shop):
    with shop.worker():
        event = await shop.desk.append(Gate(path=str(shop.gate)))
        record = await processing(shop.desk, event)
        assert record.status is EventStatus.PROCESSING
        assert record.progress == (0.5, "waits for gate")
        assert await shop.desk.cancel(event)
        with pytest.raises(EventCancelledError):
            await shop.desk.result(event)
    await shop.desk.store.close()


async def test_whoever_has_the_id_can_ask(shop):
    with shop.worker():
        event = await shop.desk.append(Gate(path=str(shop.gate)))
        await processing(shop.desk, event)
        await shop.desk.store.close()
        other = shop.other()
        waiting = asyncio.create_task(other.result(event.id))
        assert not waiting.done()
        shop.gate.touch()
        assert await waiting == "open"
        await other.store.close()


async def test_a_worker_is_killed_and_another_one_gives_the_result(shop):
    desk = shop.desk
    event = await desk.append(Gate(path=str(shop.gate)))
    with shop.worker() as first:
        await processing(desk, event)
        first.kill()
        first.wait()
    shop.gate.touch()
    with shop.worker():
        assert await desk.result(event) == "open"
    (record,) = await desk.store.get([event.id])
    assert (record.attempt, record.interruptions, record.tries) == (2, 1, 0)
    await desk.store.close()


async def test_who_waits_for_room_hears_of_it_from_another_process(shop):
    desk = shop.other(max_queue_size=1)
    with shop.worker():
        for n in range(10):
            last = await desk.append(Square(number=n), wait=True)
        assert await desk.result(last) == 81
    assert desk.processor is None
    await desk.store.close()


async def test_what_is_sent_back_is_run_again_elsewhere(shop):
    desk = shop.desk
    with shop.worker():
        event = await desk.append(Square(number=-2))
        with pytest.raises(ExecutionError):
            await desk.result(event)
        await desk.retry(event)
        with pytest.raises(ExecutionError):
            await desk.result(event)
    (record,) = await desk.store.get([event.id])
    assert (record.attempt, record.status) == (2, EventStatus.FAILED)
    await desk.store.close()
