"""The virtual loop, and the hook that runs async tests, do what the other tests rely on."""

import asyncio
import inspect
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionpride.testing import VirtualLoop, run_virtual, virtual_time
from lionpride.testing.virtual import START


@pytest.mark.virtual
async def test_sleeping_costs_no_time_and_is_exact() -> None:
    loop, began = asyncio.get_running_loop(), time.monotonic()
    assert isinstance(loop, VirtualLoop)
    assert loop.time() == START
    for _ in range(100):
        due = loop.time() + 3600.1
        await asyncio.sleep(3600.1)
        assert loop.time() == due
    assert time.monotonic() - began < 5


@pytest.mark.virtual
async def test_time_stands_still_while_callbacks_run() -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(1, lambda: None)
    for _ in range(100):
        await asyncio.sleep(0)
    assert loop.time() == START


@pytest.mark.virtual
async def test_timers_fire_in_their_order() -> None:
    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)
        ended.append(seconds)

    ended: list[float] = []
    await asyncio.gather(*(wait(seconds) for seconds in (3, 1, 86_400 * 30, 2)))
    assert ended == [1, 2, 3, 86_400 * 30]


@pytest.mark.virtual
async def test_timeouts_are_virtual() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1e6):
            await asyncio.Event().wait()


@pytest.mark.virtual
async def test_threads_take_real_time_in_which_the_clock_stands() -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(0.001, lambda: None)
    assert await asyncio.to_thread(lambda: time.sleep(0.02) or 7) == 7
    assert loop.time() <= START + 0.001


@pytest.mark.virtual
async def test_another_thread_may_wake_the_loop() -> None:
    woken = asyncio.Event()
    call = asyncio.get_running_loop().call_soon_threadsafe
    timer = threading.Timer(0.02, call, [woken.set])
    timer.start()
    await woken.wait()
    timer.join()


@pytest.mark.virtual
async def test_sockets_are_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        timer = threading.Timer(0.02, theirs.send, [b"x"])
        timer.start()
        assert await asyncio.get_running_loop().sock_recv(ours, 1) == b"x"
        timer.join()


def test_a_deadlock_fails_at_once() -> None:
    with pytest.raises(RuntimeError, match="deadlock: no timer is set"):
        run_virtual(asyncio.Event().wait())


def test_run_virtual_returns_the_result_and_starts_where_it_is_told() -> None:
    async def now() -> float:
        return asyncio.get_running_loop().time()

    assert run_virtual(now()) == START
    assert run_virtual(now(), start=5.0) == 5.0


def test_a_decorated_test_is_a_plain_function() -> None:
    @virtual_time
    async def test_it(seconds: float, *, more: float = 0.0) -> float:
        """Sleeps."""
        await asyncio.sleep(seconds + more)
        return asyncio.get_running_loop().time()

    assert not inspect.iscoroutinefunction(test_it)
    assert (test_it.__name__, test_it.__doc__) == ("test_it", "Sleeps.")
    assert list(inspect.signature(test_it).parameters) == ["seconds", "more"]
    assert test_it(86_400, more=5) == START + 86_405


@virtual_time
async def test_a_decorated_test_has_its_fixtures(tmp_path: Path) -> None:
    await asyncio.sleep(1e6)
    assert tmp_path.is_dir()


USERS = """
import asyncio
import pytest
from lionpride.testing import virtual_time

@pytest.fixture
def day(): return 86_400

@virtual_time
async def test_of_a_day(day):
    await asyncio.sleep(day)

@pytest.mark.parametrize("days", [1, 365])
@virtual_time
async def test_of_days(day, days):
    await asyncio.sleep(day * days)

@virtual_time
async def test_that_fails():
    await asyncio.Event().wait()
"""


@pytest.mark.promise("testing-tools")
def test_in_a_users_own_pytest_without_a_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_users.py").write_text(USERS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-W", "error"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert "1 failed, 3 passed" in done.stdout, done.stdout
    assert "deadlock: no timer is set" in done.stdout


async def test_an_unmarked_test_runs_in_a_loop_of_real_time(tmp_path: object) -> None:
    assert not isinstance(asyncio.get_running_loop(), VirtualLoop)
    assert tmp_path


@pytest.mark.virtual
@given(seconds=st.floats(0, 1e9))
async def test_each_example_of_a_property_has_its_own_loop(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert loop.time() == START
    await asyncio.sleep(seconds)
    assert loop.time() == START + seconds


HANGING = """
import asyncio
import pytest
from hypothesis import given, strategies as st

@pytest.mark.guard(0.2)
async def test_waits(): await asyncio.sleep(10)

@pytest.mark.guard(0.2)
@pytest.mark.virtual
async def test_spins():
    while True:
        await asyncio.sleep(1)

@pytest.mark.virtual
async def test_is_stuck(): await asyncio.Event().wait()

@pytest.mark.guard(0.2)
@given(st.integers(0, 1000))
async def test_waits_for_an_example(number): await asyncio.sleep(number and 10)

async def test_is_fine(): await asyncio.sleep(0)
"""


def test_tests_that_hang_are_failed(tmp_path: Path) -> None:
    here = Path(__file__).parents[1]
    (tmp_path / "conftest.py").write_text((here / "conftest.py").read_text(encoding="utf-8"))
    (tmp_path / "test_hanging.py").write_text(HANGING)
    options = ["-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-W", "ignore::pytest.PytestUnknownMarkWarning"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(here)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "4 failed, 1 passed" in done.stdout, done.stdout
    for words in (
        "did not end within 0.2 s",
        "still running after 0.2 s",
        "no timer is set",
        "s, for ",
    ):
        assert words in done.stdout
