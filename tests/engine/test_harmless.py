"""Calls of what users wrote: what they give, and what is counted (see test_observers.py)."""

import pytest
from engine.kit import Job

from lionpride.engine.harmless import Harmless


def test_a_call_gives_what_it_gives() -> None:
    assert Harmless()._guarded(None, Job(), lambda: 5) == 5


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt()])
def test_one_that_raises_gives_nothing_and_is_logged_once(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    harmless, observer = Harmless(), object()

    def fails() -> None:
        raise error

    assert [harmless._guarded(observer, Job(), fails) for _ in range(3)] == [None] * 3
    assert (harmless.failures, harmless.delays) == (3, 0)
    assert len(caplog.records) == 1
