"""Stores of these tests are closed as those of the contract's tests: in the test's own loop."""

import time

import pytest
from stores.conftest import opened, pytest_pyfunc_call
from stores.makers import STORES

from lionpride.stores.contract import Store

__all__ = ("opened", "pytest_pyfunc_call", "store")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, opened: list[Store]) -> Store:
    """An empty store of each kind, which is closed at the end of the test."""
    opened.append(STORES[request.param](time.time))
    return opened[0]
