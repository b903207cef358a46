"""Runs `async def test_*`: each in a loop of its own, under a guard against hanging.

`@pytest.mark.virtual` runs the test in a `VirtualLoop` (see `virtual.py`), where sleeping costs no
time. `@pytest.mark.guard(seconds)` sets another limit than 30 real seconds. A Hypothesis test may
be `async` as well: each example gets its own loop.
"""

import asyncio
import faulthandler
import functools
import inspect
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from lionpride.testing import VirtualLoop

LIMIT = 30.0
BARKS = 10

# On a machine that does other work too, an example may take any time: it is no failure.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# A shell starts background jobs with SIGINT ignored, and the programs that tests start inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

AsyncTest = Callable[..., Coroutine[Any, Any, object]]


class Hung(BaseException):
    """Raised into a test that the loop's timeout cannot reach. Not an Exception: few catch it."""


@contextmanager
def watchdog(seconds: float, config: pytest.Config) -> Iterator[None]:
    """Raise `Hung` into the main thread after so many real seconds, and each second from then on.

    Again and again, because the code under test contains what user code raises: the first shot may
    be taken for the failure of an event. Code that contains them all ends the whole run.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    barks = 0

    def bark(_number: int, frame: FrameType | None) -> None:
        nonlocal barks
        barks += 1
        if barks > BARKS:
            give_up(config)
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "unknown"
        raise Hung(f"still running after {seconds:g} s, at {where}")

    before = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def give_up(config: pytest.Config) -> None:
    """Show where every thread stands, past pytest's capturing, and end the process."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
    faulthandler.dump_traceback(file=sys.__stderr__ or 2)
    os._exit(70)


async def within(limit: float, coroutine: Coroutine[Any, Any, object]) -> None:
    guard = asyncio.timeout(limit)
    try:
        async with guard:
            await coroutine
    except TimeoutError:
        if guard.expired():
            raise Hung(f"it did not end within {limit:g} s") from None
        raise


def run_test(item: pytest.Function, test: AsyncTest, *args: Any, **kwargs: Any) -> None:
    guard = item.get_closest_marker("guard")
    limit = float(guard.args[0]) if guard else LIMIT
    if item.get_closest_marker("virtual"):
        # A timeout of the loop would be virtual too, so only the watchdog guards here.
        with watchdog(limit, item.config), asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))
    else:
        # The watchdog comes later: it is for code that blocks the loop.
        with watchdog(limit + 5, item.config), asyncio.Runner() as runner:
            runner.run(within(limit, test(*args, **kwargs)))


def run_each_example(item: pytest.Function, test: AsyncTest) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            run_test(item, test, *args, **kwargs)
        except Hung as error:
            # No failure in Hypothesis' eyes, so it goes straight out: to shrink an example that
            # hangs would take its limit again each time.
            raise Hung(f"{error}, for {args or kwargs}") from error

    return run


class UnexpectedErrors(logging.Handler):
    """Collects the errors that a store logs as unexpected: each is a bug of the library."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("unexpected error in a transaction"):
            self.found.append(logging.Formatter().format(record))


@pytest.fixture(autouse=True)
def unexpected_errors() -> Iterator[list[str]]:
    """Fail a test that leaves an unexpected error of a transaction in this list."""
    logger, handler = logging.getLogger("lionpride"), UnexpectedErrors()
    logger.addHandler(handler)
    yield handler.found
    logger.removeHandler(handler)
    assert not handler.found, "\n".join(handler.found)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """With `-n auto`: one a core, but two at least, since tests wait; each has its own server."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(max(cores or 1, 2), 8)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    test = pyfuncitem.obj
    handle = getattr(test, "hypothesis", None)
    if handle is not None:
        if inspect.iscoroutinefunction(handle.inner_test):
            handle.inner_test = run_each_example(pyfuncitem, handle.inner_test)
        return None  # Hypothesis is a plain function: pytest calls it
    if not inspect.iscoroutinefunction(test):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    try:
        run_test(pyfuncitem, test, **{name: pyfuncitem.funcargs[name] for name in names})
    except Hung as error:
        pytest.fail(f"the test hangs: {error}")
    return True
