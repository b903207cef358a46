"""The thread for what may take its time."""

import asyncio
import threading
import weakref
from functools import partial

import pytest

from lionpride.stores.sqlite.commit_thread import CommitThread


@pytest.mark.virtual
async def test_virtual_time_stands_still_while_it_works() -> None:
    loop, thread = asyncio.get_running_loop(), CommitThread()
    began = loop.time()
    timer = loop.call_later(5.0, lambda: None)
    in_a_thread: list[bool] = []
    main = threading.current_thread()
    assert not await thread.finish(
        lambda: in_a_thread.append(threading.current_thread() is not main)
    )
    assert (in_a_thread, loop.time()) == ([True], began)
    timer.cancel()
    thread.close()


@pytest.mark.virtual
async def test_virtual_time_goes_on_after_what_failed() -> None:
    loop, thread = asyncio.get_running_loop(), CommitThread()
    began = loop.time()
    with pytest.raises(ZeroDivisionError):
        await thread.finish(lambda: 1 // 0 and None)
    await asyncio.sleep(5.0)
    assert loop.time() == began + 5.0
    thread.close()


async def test_what_it_has_done_is_let_go_of() -> None:
    class Batch:
        """Whatever it was about."""

    batch, thread = Batch(), CommitThread()
    gone = weakref.ref(batch)
    await thread.finish(partial(setattr, batch, "done", True))
    thread.wait()
    del batch
    assert gone() is None, "it waits for more, and keeps nothing"
    thread.close()


async def test_wait_returns_after_all_earlier_calls() -> None:
    thread, first, second = CommitThread(), threading.Event(), threading.Event()
    ended: list[str] = []

    def work(name: str, may_end: threading.Event) -> None:
        may_end.wait(30)
        ended.append(name)

    thread.call(partial(work, "first", first))
    thread.call(partial(work, "second", second))
    first.set()
    threading.Timer(0.1, second.set).start()  # later than a wait that ends with the first call
    thread.wait()
    assert ended == ["first", "second"]
    thread.close()
