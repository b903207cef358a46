"""Stores of these tests are closed as those of the contract's tests: in the test's own loop."""

from stores.conftest import opened, pytest_pyfunc_call

__all__ = ("opened", "pytest_pyfunc_call")
