"""The heartbeat: when its thread runs, and that it ends."""

import threading

from lionpride.stores.clock import boot_time
from lionpride.stores.sql.heartbeat import Descriptions, Heartbeat, WorkerNames

NAME = "lionpride-test-heartbeat"


class Beats:
    """Keeps what workers said, and tells of each beat."""

    def __init__(self) -> None:
        self.said: list[Descriptions] = []
        self.beat = threading.Semaphore(0)
        self.open = False

    def prepare(self) -> None:
        self.open = True

    def __call__(self, names: WorkerNames, descriptions: Descriptions) -> float:
        at = boot_time()
        assert set(descriptions) <= set(names())
        self.said.append(descriptions)
        self.beat.release()
        return at

    def close(self) -> None:
        self.open = False


def heartbeat(beats: Beats, lease: float = 0.003) -> Heartbeat:
    return Heartbeat(lease, NAME, "a database", lambda: beats)


def running() -> int:
    return sum(each.name == NAME for each in threading.enumerate())


def test_the_thread_runs_from_the_first_worker_on_until_it_is_stopped() -> None:
    beats = Beats()
    one = heartbeat(beats)
    one.renew_for({})
    assert running() == 0, "there is no worker to keep alive"
    one.renew_for({"a": lambda: "busy"})
    one.renew_for({"a": lambda: "busy", "b": lambda: None})
    assert running() == 1
    assert beats.beat.acquire(timeout=30)
    one.stop()
    assert running() == 0
    assert beats.said[-1] in ({"a": "busy"}, {"a": "busy", "b": None})
    assert not beats.open


def test_who_works_again_is_kept_alive_again() -> None:
    beats = Beats()
    one = heartbeat(beats)
    for name in ("first", "second"):
        one.renew_for({name: lambda: "here"})
        assert beats.beat.acquire(timeout=30)
        one.stop()
    assert running() == 0
    assert {tuple(each.values()) for each in beats.said} == {("here",)}


def test_a_long_lease_is_no_reason_to_wait_for_its_end() -> None:
    beats = Beats()
    one = heartbeat(beats, lease=3600.0)
    one.renew_for({"a": lambda: None})
    one.stop()
    assert running() == 0
    assert beats.said == []


def test_a_lease_is_known_to_hold_only_if_it_was_renewed_in_time() -> None:
    beats = Beats()
    one = heartbeat(beats, lease=3600.0)
    now = boot_time()
    assert one.holds(now + 60.0)
    assert not one.holds(now - 1.0), "nothing renews it"
    one.renew_for({"a": lambda: None})
    assert one.holds(boot_time()), "what is claimed from now on is renewed"
    assert not one.holds(now - 1.0), "it had lapsed before"
    one.stop()


def test_a_renewal_that_fails_is_no_silence_and_one_that_hangs_is() -> None:
    failed, hangs, go_on = threading.Semaphore(0), threading.Event(), threading.Event()

    class Away(Beats):
        def __call__(self, names: WorkerNames, said: Descriptions) -> float:
            super().__call__(names, said)
            if len(self.said) > 3:
                hangs.set()
                go_on.wait(30)
            failed.release()
            raise OSError("the database is away")

    one = heartbeat(Away())
    assert one.silence == 0.0, "there is no worker"
    one.renew_for({"a": lambda: "here"})
    assert failed.acquire(timeout=30)
    assert failed.acquire(timeout=30)
    assert hangs.wait(30)  # and the tries before that have ended
    assert one.silence < 30
    first, second = one.silence, one.silence
    assert first < second, "it grows while the try hangs"
    go_on.set()
    one.stop()
    assert one.silence == 0.0
