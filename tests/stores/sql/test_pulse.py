"""The pulse: when its thread runs, and that it ends."""

import threading

from lionpride.stores.sql.pulse import Pulse

NAME = "lionpride-test-pulse"


class Beats(Pulse):
    """Keeps what its workers said, and tells of each beat."""

    def __init__(self, lease: float) -> None:
        super().__init__(lease, NAME)
        self.said: list[list[str | None]] = []
        self.beat = threading.Semaphore(0)

    def _run(self) -> None:
        while not self._is_over():
            self.said.append([say() for say in self._workers.values()])
            self.beat.release()


def running() -> int:
    return sum(each.name == NAME for each in threading.enumerate())


def test_the_thread_runs_from_the_first_worker_on_until_it_is_stopped() -> None:
    pulse = Beats(lease=0.003)
    pulse.beat_for({})
    assert running() == 0, "there is nobody to keep alive"
    pulse.beat_for({"a": lambda: "busy"})
    pulse.beat_for({"a": lambda: "busy", "b": lambda: None})
    assert running() == 1
    assert pulse.beat.acquire(timeout=30)
    pulse.stop()
    assert running() == 0
    assert pulse.said[-1] in (["busy"], ["busy", None])


def test_who_works_again_is_kept_alive_again() -> None:
    pulse = Beats(lease=0.003)
    for name in ("first", "second"):
        pulse.beat_for({name: lambda: "here"})
        assert pulse.beat.acquire(timeout=30)
        pulse.stop()
    assert running() == 0
    assert pulse.said == [["here"]] * len(pulse.said)


def test_a_long_lease_is_no_reason_to_wait_for_its_end() -> None:
    pulse = Beats(lease=3600.0)
    pulse.beat_for({"a": lambda: None})
    pulse.stop()
    assert running() == 0
    assert pulse.said == []
