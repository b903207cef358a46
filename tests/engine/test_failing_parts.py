"""A store or an observer that raises: what runs is told, and nothing is lost or left taken."""

import asyncio
import logging
from typing import Any

import pytest
from engine.kit import (
    MODES,
    Contract,
    Job,
    Mode,
    agree,
    background,
    caught,
    desk,
    execute,
    forward,
    has_all_slots,
    raises,
    sleeps,
    statuses,
)

from lionpride.core import EventStatus, Transition
from lionpride.errors import LionprideError, OperationError

pytestmark = pytest.mark.virtual


class Flaky(Contract):
    """A store of which the next call of one verb fails."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.broken = ""

    def __getattr__(self, name: str) -> Any:
        if name == self.broken:
            self.broken = ""
            return self._fail
        return super().__getattr__(name)

    def _fail(self, *_: Any, **__: Any) -> Any:
        raise OSError("the disk is full")


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
@pytest.mark.parametrize("asks", [False, True], ids=["free", "asks"])
async def test_a_claim_that_fails(asks: bool, mode: Mode) -> None:
    store = Flaky(desk().store)
    executor = desk(asks=asks, store=store, concurrency_limit=2)
    jobs = await executor.append_many([Job(do=sleeps(5)), Job(), Job()])
    store.broken = "claim"
    assert isinstance(await mode(executor), OSError), "the caller is told"
    agree(executor)
    assert await mode(executor) is None
    assert statuses(jobs) == ["completed"] * 3
    await has_all_slots(executor, mode)


@pytest.mark.parametrize("asks", [False, True], ids=["free", "asks"])
async def test_a_settlement_that_fails(asks: bool) -> None:
    """What could not be put on record is not; a durable store's lease would lapse."""
    store = Flaky(desk().store)
    executor = desk(asks=asks, store=store, concurrency_limit=2)
    slow, quick, behind = await executor.append_many([Job(do=sleeps(5)), Job(), Job()])
    store.broken = "settle"
    assert isinstance(await forward(executor), OSError)
    assert statuses([slow, quick, behind]) == ["completed", "processing", "pending"]
    agree(executor)
    await has_all_slots(executor, forward)
    assert behind.status is EventStatus.COMPLETED


async def test_what_runs_ends_when_the_store_fails() -> None:
    store = Flaky(desk().store)
    executor = desk(store=store, concurrency_limit=2)
    slow = await executor.append(Job(do=sleeps(5)))
    await executor.start()
    running = asyncio.create_task(caught(executor.processor.execute()))
    await asyncio.sleep(1)
    store.broken = "claim"
    late = await executor.append(Job())
    assert isinstance(await running, OSError)
    assert slow.status is EventStatus.COMPLETED
    assert late.status is EventStatus.PENDING
    agree(executor)


async def test_a_store_that_fails_in_a_block_is_told_where_the_block_is_left() -> None:
    store = Flaky(desk().store)
    executor = desk(store=store)

    async def block() -> None:
        async with executor:
            store.broken = "claim"
            await executor.append(Job())
            await asyncio.sleep(1)

    assert isinstance(await caught(block()), OSError)
    assert len(executor.pending_events) == 1


# --- observers


class Unusual(BaseException):
    """What an observer may raise as well."""


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
@pytest.mark.promise("observers-do-no-harm")
@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, GeneratorExit, Unusual])
async def test_an_observer_that_raises_harms_nothing(
    error: type[BaseException], mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    executor = desk(concurrency_limit=2)
    seen: list[EventStatus | None] = []

    def bad(step: Transition) -> None:
        seen.append(step.after)
        raise error("from the observer")

    heard: list[Transition] = []
    executor.observe(bad)
    executor.observe(heard.append)
    with caplog.at_level(logging.ERROR, "lionpride"):
        jobs = await executor.append_many([Job(), Job(do=raises(KeyError("k"))), Job()])
        assert await mode(executor) is None
    assert statuses(jobs) == ["completed", "failed", "completed"]
    assert len(seen) == len(heard) == 9, "it is told of every step all the same"
    logged = [record for record in caplog.records if "observer" in record.getMessage()]
    assert len(logged) == 1, "and its failures are logged once"
    assert logged[0].exc_info
    agree(executor)
    await has_all_slots(executor, mode)


async def test_two_bad_observers_are_logged_once_each(caplog: pytest.LogCaptureFixture) -> None:
    executor = desk()

    def one(step: Transition) -> None:
        raise ValueError("one")

    def two(step: Transition) -> None:
        raise ValueError("two")

    executor.observe(one)
    executor.observe(two)
    with caplog.at_level(logging.ERROR, "lionpride"):
        await executor.append_many([Job(), Job()])
        await executor.forward()
    errors = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert sorted(errors) == ["one", "two"]


async def test_an_observer_may_use_the_executor() -> None:
    """It hears of a step that is done, so what it does then is one more step."""
    executor = desk()
    tasks: list[asyncio.Task[Any]] = []

    def again(step: Transition) -> None:
        if step.after is EventStatus.FAILED and step.event.execution.attempt < 3:
            tasks.append(asyncio.create_task(executor.retry(step.event.id)))

    executor.observe(again)
    async with background(executor):
        job = await executor.append(Job(do=raises(ValueError("no"))))
        await asyncio.sleep(1)
        assert job.status is EventStatus.FAILED
        assert job.execution.attempt == 3
    assert len(tasks) == 2


async def test_an_observer_that_leaves_while_it_is_told() -> None:
    executor = desk()
    heard: list[str] = []

    def once(step: Transition) -> None:
        heard.append("once")
        stop()

    stop = executor.observe(once)
    executor.observe(lambda step: heard.append("always"))
    await executor.append(Job())
    await executor.forward()
    assert heard.count("once") == 1
    assert heard.count("always") == 3
    stop()  # once more harms nothing


async def test_after_failures_of_all_kinds_it_is_as_good_as_new() -> None:
    store = Flaky(desk().store)
    executor = desk(store=store, asks=True, concurrency_limit=3)
    await executor.append_many(
        [
            Job(do=raises(ValueError("a"))),
            Job(ask=raises(ValueError("b"))),
            Job(do=raises(KeyboardInterrupt())),
            Job(do=raises(asyncio.CancelledError())),
        ]
    )
    store.broken = "claim"
    for mode in (execute, forward, execute):
        await mode(executor)
    for mode in MODES:
        await has_all_slots(executor, mode)
    agree(executor)


@pytest.mark.parametrize("name", ["_status", "_attempt", "_arrival", "_response"])
async def test_code_that_writes_where_the_state_is_kept_fails_and_harms_nothing(name: str) -> None:
    async def do(event: Job) -> None:
        setattr(event, name, 7)

    executor = desk()
    bad, good = await executor.append_many([Job(do=do), Job()])
    await executor.forward()
    assert (bad.status, good.status) == (EventStatus.FAILED, EventStatus.COMPLETED)
    assert isinstance(bad.execution.error, OperationError)
    agree(executor)


async def test_an_observer_that_cannot_be_hashed_and_fails_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(list[Any]):
        def __call__(self, step: Transition) -> None:
            self.append(step)
            raise ValueError("no")

    executor, observer = desk(), Failing()
    executor.observe(observer)
    job = await executor.append(Job())
    await executor.forward()
    assert job.status is EventStatus.COMPLETED
    assert len(observer) == 3
    assert [record.levelname for record in caplog.records] == ["ERROR"], "the first is logged"
    agree(executor)


async def test_an_error_that_does_not_keep_to_its_base_is_an_error_like_any_other() -> None:
    class Own(LionprideError):
        def __init__(self) -> None:
            pass  # and so it has neither a message nor `retryable`

    executor = desk()
    bad, good = await executor.append_many([Job(do=raises(Own())), Job()])
    await executor.forward()
    assert (bad.status, good.status) == (EventStatus.FAILED, EventStatus.COMPLETED)
    assert isinstance(bad.execution.error, Own)
    assert bad.execution.retryable is True
    assert executor.states.to_json()
    agree(executor)
