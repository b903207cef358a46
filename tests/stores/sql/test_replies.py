"""Replies as a Task meets them: awaited, cancelled, failed, and many told at once."""

import asyncio
import contextvars

import pytest

from lionpride.stores.sql.replies import Reply, answer


async def wait_for(reply: Reply, heard: list[str], name: str) -> None:
    try:
        await reply
    except BaseException as error:
        heard.append(f"{name}: {type(error).__name__}")
        raise
    heard.append(name)


async def begun(*replies: Reply, heard: list[str]) -> list[asyncio.Task[None]]:
    """A task for each, which waits by now."""
    waiting = [
        asyncio.create_task(wait_for(reply, heard, str(i))) for i, reply in enumerate(replies)
    ]
    await asyncio.sleep(0)
    return waiting


def some(n: int) -> list[Reply]:
    return [Reply(asyncio.get_running_loop()) for _ in range(n)]


async def test_all_who_wait_are_told_in_order_in_the_next_turn() -> None:
    replies, heard = some(3), list[str]()
    tasks = await begun(*replies, heard=heard)
    answer(replies)
    assert heard == [], "nobody's code runs within the answer"
    await asyncio.sleep(0)
    assert heard == ["0", "1", "2"]
    await asyncio.gather(*tasks)


async def test_what_is_done_is_not_waited_for() -> None:
    (reply,) = some(1)
    answer([reply])
    await asyncio.wait_for(wait_for(reply, [], ""), 5)


async def test_an_error_comes_of_one_and_not_of_its_neighbours() -> None:
    replies, heard = some(3), list[str]()
    tasks = await begun(*replies, heard=heard)
    replies[1].fail(OSError("the disk"))
    answer(replies)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert heard == ["0", "1: OSError", "2"]
    assert str(found[1]) == "the disk"


async def test_who_is_cancelled_hears_of_that_and_the_others_of_the_answer() -> None:
    replies, heard = some(2), list[str]()
    tasks = await begun(*replies, heard=heard)
    assert tasks[0].cancel("enough")
    await asyncio.sleep(0)
    assert heard == ["0: CancelledError"]
    replies[0].fail(OSError("too late"))
    answer(replies)
    await asyncio.wait(tasks)
    assert heard == ["0: CancelledError", "1"]
    assert tasks[0].cancelled()


async def test_who_is_cancelled_between_the_answer_and_its_turn_is_cancelled() -> None:
    replies, heard = some(1), list[str]()
    (task,) = await begun(*replies, heard=heard)
    answer(replies)
    assert task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == ["0: CancelledError"]


async def test_a_timeout_around_one() -> None:
    (reply,) = some(1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await reply


async def test_each_goes_on_in_its_own_context() -> None:
    name = contextvars.ContextVar("name", default="nobody")
    replies, found = some(2), list[str]()

    async def call(reply: Reply, own: str) -> None:
        name.set(own)
        await reply
        found.append(name.get())

    tasks = [asyncio.create_task(call(*each)) for each in zip(replies, "ab", strict=True)]
    await asyncio.sleep(0)
    answer(replies)
    await asyncio.gather(*tasks)
    assert found == ["a", "b"]
    assert name.get() == "nobody"


async def test_one_may_be_awaited_by_one_task_only() -> None:
    (reply,) = some(1)
    (first,) = await begun(reply, heard=[])
    with pytest.raises(RuntimeError, match="one task only"):
        await reply
    answer([reply])
    await first


def test_a_task_that_asks_the_process_to_exit_keeps_the_others_from_nothing() -> None:
    heard: list[str] = []

    async def leave(reply: Reply) -> None:
        await reply
        raise SystemExit(3)

    async def run() -> BaseException | None:
        replies = some(3)
        leaving = asyncio.create_task(leave(replies[0]))
        others = await begun(*replies[1:], heard=heard)
        answer(replies)
        await asyncio.wait(others)
        return leaving.exception()

    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(run())
        with pytest.raises(SystemExit):
            loop.run_until_complete(task)
        assert heard == []
        assert isinstance(loop.run_until_complete(task), SystemExit)
    finally:
        loop.close()
    assert heard == ["0", "1"]
