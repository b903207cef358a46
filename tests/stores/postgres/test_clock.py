"""The server's clock, by the quickest of its answers."""

from time import time

import pytest

from lionpride.stores.clock import boot_time
from lionpride.stores.postgres.clock import ServerClock


def test_it_is_this_machines_own_before_the_first_answer() -> None:
    assert ServerClock()() == pytest.approx(time(), abs=5.0)


def test_it_goes_by_the_quickest_answer_until_the_clock_is_set() -> None:
    clock, now = ServerClock(), boot_time()
    clock.note(5_000.0, now, now + 0.2)
    clock.note(5_000.2, now, now + 0.4)  # it tells less, and is not believed
    assert clock() == pytest.approx(4_999.9, abs=0.05)
    clock.note(9_000.0, now, now + 0.4)  # as bad, but the clock has been set
    assert clock() == pytest.approx(8_999.8, abs=0.05)
    clock.note(1_000.0, now, now + 0.4)
    assert clock() == pytest.approx(999.8, abs=0.05)


def test_an_old_answer_gives_way_to_a_worse_one() -> None:
    clock, now = ServerClock(), boot_time()
    clock.note(5_000.0, now - 100.0, now - 100.0)
    clock.note(5_100.2, now, now + 0.3)
    assert clock() == pytest.approx(5_100.05, abs=0.05)
