"""Progress: said by an event's code, from wherever it runs, and who hears of it."""

import asyncio
import gc
import math
from contextlib import aclosing
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from engine.kit import Job, Tape, background, caught, desk, forward, raises, sleeps

from lionpride.core import Event, EventStatus, Progress
from lionpride.errors import ValidationError
from lionpride.stores.memory import MemoryStore
from lionpride.stores.sqlite import SqliteStore

pytestmark = pytest.mark.virtual


def pages(*fractions: float) -> Any:
    """Work that says how far it is, a second each."""

    async def do(event: Job) -> str:
        for number, fraction in enumerate(fractions):
            event.progress(fraction, f"page {number}")
            await asyncio.sleep(1)
        return event.label

    return do


async def test_what_was_said_last_can_be_seen_while_it_runs_and_afterwards() -> None:
    executor = desk()
    event = await executor.append(Job(do=pages(0.25, 0.5)))
    assert event.execution.progress is None
    async with background(executor):
        await asyncio.sleep(0.5)
        assert event.execution.progress == (0.25, "page 0")
        await asyncio.sleep(1)
        assert event.execution.progress == Progress(0.5, "page 1")
        await executor.result(event)
    assert event.execution.progress == (0.5, "page 1"), "how far it came"
    assert "progress" not in event.to_dict("json")["execution"]


async def test_listeners_hear_of_each_until_they_stop() -> None:
    executor, heard = desk(), []
    stop = executor.observe_progress(lambda event, progress: heard.append((event, *progress)))
    event = await executor.append(Job(do=pages(0.25, 0.5)))
    await executor.forward()
    assert heard == [(event, 0.25, "page 0"), (event, 0.5, "page 1")]
    stop()
    stop()
    await executor.append(Job(do=pages(0.25)))
    await executor.forward()
    assert len(heard) == 2


async def test_a_listener_that_fails_is_logged_once_and_harms_nothing(caplog: Any) -> None:
    executor = desk()

    def fail(event: Event, progress: Progress) -> None:
        raise LookupError(progress.note)

    executor.observe_progress(fail)
    event = await executor.append(Job(label="x", do=pages(0.25, 0.5)))
    await executor.forward()
    assert event.response == "x"
    assert caplog.text.count("LookupError: page 0") == 1
    assert "page 1" not in caplog.text


@pytest.mark.parametrize("wrong", [5, sleeps(1)])
async def test_who_listens_is_a_plain_function(wrong: Any) -> None:
    with pytest.raises(TypeError, match="plain function of event and progress"):
        desk().observe_progress(wrong)


@pytest.mark.parametrize(
    "given",
    [(-0.1,), (1.1,), (40,), (math.nan,), (math.inf,), (True,), ("0.5",), (0.5, None), (0.5, 3)],
)
async def test_what_makes_no_sense_is_refused_and_says_so(given: tuple[Any, ...]) -> None:
    executor = desk()

    async def do(event: Job) -> None:
        event.progress(*given)

    event = await executor.append(Job(do=do))
    await executor.forward()
    assert isinstance(event.execution.error, ValidationError)
    assert str(event.execution.error).startswith("progress: the ")
    assert event.execution.progress is None


async def test_a_sum_of_fractions_may_be_a_little_more_than_all_of_it() -> None:
    executor = desk()

    async def do(event: Job) -> None:
        event.progress(sum([0.1] * 10) + 1e-9)
        assert event.execution.progress == (1.0, "")
        event.progress(note="nobody knows")

    event = await executor.append(Job(do=do))
    await executor.forward()
    assert event.execution.error is None
    assert event.execution.progress == (None, "nobody knows")


async def test_it_is_ignored_before_the_start_and_after_the_end() -> None:
    executor, heard = desk(), []
    executor.observe_progress(lambda *given: heard.append(given))
    event = Job()
    event.progress(0.5)
    await executor.append(event)
    event.progress(0.5)
    await executor.forward()
    event.progress(0.5)
    assert event.execution.progress is None
    assert not heard


async def test_another_attempt_begins_with_none() -> None:
    executor = desk()
    event = await executor.append(Job(do=pages(0.25, 0.5)))
    running = asyncio.create_task(forward(executor))
    await asyncio.sleep(0.5)
    running.cancel()
    await asyncio.wait([running])
    assert event.status is EventStatus.PENDING
    event.do = raises(ValueError("no"))
    await executor.forward()
    assert event.execution.attempt == 2
    assert event.execution.progress is None


async def test_tasks_and_threads_of_an_event_speak_for_it() -> None:
    executor, heard = desk(), []
    loop = asyncio.get_running_loop()

    def listen(event: Job, progress: Progress) -> None:
        assert asyncio.get_running_loop() is loop
        heard.append((event.label, progress.note))

    executor.observe_progress(listen)

    async def do(event: Job) -> None:
        async def part() -> None:
            event.progress(note="a task")

        await asyncio.create_task(part())
        await asyncio.to_thread(event.progress, 0.5, "a thread")

    await executor.append(Job(label="x", do=do))
    await executor.forward()
    assert heard == [("x", "a task"), ("x", "a thread")]


async def test_an_event_that_runs_by_itself_inside_another_is_not_told_of() -> None:
    executor, heard = desk(), []
    executor.observe_progress(lambda event, _: heard.append(event))
    inner = Job(do=pages(0.5))

    async def do(event: Job) -> None:
        inner_task = asyncio.create_task(inner.invoke())
        await asyncio.sleep(0.5)
        assert inner.execution.progress == (0.5, "page 0")
        await inner_task

    event = await executor.append(Job(do=do))
    await executor.forward()
    assert event.execution.error is None
    assert not heard


async def test_a_stream_has_both() -> None:
    executor = desk()

    async def do(event: Job) -> Any:
        event.progress(0.5)
        yield "a"
        yield "b"
        await asyncio.sleep(1)

    event = await executor.append(Tape(do=do))
    running = asyncio.create_task(forward(executor))
    await asyncio.sleep(0.5)
    assert event.execution.progress == (0.5, "")
    assert event.execution.chunks == ["a", "b"]
    await running
    assert event.execution.chunks == ["a", "b"] == event.response
    assert [chunk async for chunk in executor.stream(event)] == ["a", "b"]
    assert Job(streaming=True).execution.chunks == ()


@pytest.mark.parametrize("durable", [False, True])
async def test_the_store_sees_it_while_the_event_runs(durable: bool, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "run.db", synchronous="NORMAL") if durable else MemoryStore()
    executor = desk(store=store)
    hold = asyncio.Event()

    async def do(event: Job) -> Any:
        yield "a"
        event.progress(0.5, "half")
        await hold.wait()

    event = await executor.append(Tape(do=do))
    running = asyncio.create_task(forward(executor))
    async with aclosing(executor.stream(event)) as chunks:
        await anext(chunks)
    (record,) = await store.get([event.id])
    assert record is not None
    assert (record.progress, record.chunks) == (Progress(0.5, "half"), 1)
    hold.set()
    await running
    (record,) = await store.get([event.id])
    assert record is not None
    assert (record.progress, record.chunks) == (None, 0), "the response has them now"
    await store.close()


async def test_a_task_that_outlives_its_event_does_not_keep_the_executor() -> None:
    executor, stay = desk(), asyncio.Event()
    kept: list[asyncio.Task[Any]] = []

    async def do(event: Job) -> None:
        kept.append(asyncio.create_task(stay.wait()))

    await executor.append(Job(do=do))
    await executor.forward()
    gone = ref(executor.store)
    del executor
    gc.collect()
    assert gone() is None
    stay.set()
    await kept[0]


async def test_work_that_is_waited_for_alone_needs_no_executor() -> None:
    event = Job(label="x", do=pages(0.5))
    assert await event.invoke() == "x"
    assert isinstance(await caught(desk().result(event)), LookupError)
