"""A store of each kind for every test that asks for one; it is closed in the test's own loop."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from stores.makers import STORES, Clock

from lionpride.stores.contract import Store


@pytest.fixture
def clock() -> Clock:
    """The time, for every store of the test."""
    return Clock()


@pytest.fixture
def opened() -> list[Store]:
    """The stores that the test has made."""
    return []


@pytest.fixture(params=STORES)
def make(request: pytest.FixtureRequest, clock: Clock, opened: list[Store]) -> Callable[[], Store]:
    """Makes one more empty store of the same kind."""

    def make() -> Store:
        store = STORES[request.param](clock)
        opened.append(store)
        return store

    return make


@pytest.fixture
def store(make: Callable[[], Store]) -> Store:
    """An empty store."""
    return make()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Close what the test has opened where it was opened: in the test's own loop."""
    test, opened = pyfuncitem.obj, pyfuncitem.funcargs.get("opened")
    if not isinstance(opened, list) or not inspect.iscoroutinefunction(test):
        return

    @functools.wraps(test)
    async def closing(**arguments: Any) -> None:
        try:
            await test(**arguments)
        finally:
            for each in opened:
                await each.close()

    pyfuncitem.obj = closing
