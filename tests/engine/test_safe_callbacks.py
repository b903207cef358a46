"""Calls of what users wrote: what they give, and what is counted (see test_observers.py)."""

import pytest
from engine.kit import Job

from lionpride.engine.safe_callbacks import SafeCallbacks


def test_a_call_gives_what_it_gives() -> None:
    assert SafeCallbacks().call(None, Job(), lambda: 5) == 5


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt()])
def test_one_that_raises_gives_nothing_and_is_logged_once(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    calls, observer = SafeCallbacks(), object()

    def fails() -> None:
        raise error

    assert [calls.call(observer, Job(), fails) for _ in range(3)] == [None] * 3
    assert (calls.failures, calls.delays) == (3, 0)
    assert len(caplog.records) == 1
