"""The heartbeat: what it does to the tables, seen through a connection of one's own."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from stores.makers import Job

from lionpride.rules.state_machine import RELEASED
from lionpride.stores.contract import Claim, Settled
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.sqlite.file import open_file
from lionpride.stores.sqlite.heartbeat import make_heartbeat

NAME = "lionpride-sqlite-heartbeat"
LONG = 3600.0


def pulses() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == NAME]


class Eye:
    """Looks into the file from outside."""

    def __init__(self, path: Path) -> None:
        self._db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)

    def leases(self) -> dict[str, float]:
        rows: Any = self._db.execute(
            "SELECT worker, max(max(leased_until, coalesce(leases_until, 0))) "
            "FROM lionpride_lease LEFT JOIN lionpride_worker ON name = worker GROUP BY worker"
        )
        return dict(rows)

    def written(self) -> list[float]:
        rows = self._db.execute("SELECT leased_until FROM lionpride_lease ORDER BY number")
        return [until for (until,) in rows]

    def seen(self) -> dict[str, float]:
        rows: Any = self._db.execute("SELECT name, heartbeat_at FROM lionpride_worker")
        return dict(rows)

    def until(self, look: Callable[[], Any], differs_from: Any) -> Any:
        """Block, the event loop too, until what is seen is no longer the same."""
        while (now := look()) == differs_from:
            time.sleep(0.001)
        return now

    def close(self) -> None:
        self._db.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@pytest.fixture
def eye(path: Path) -> Iterator[Eye]:
    open_file(path, synchronous="NORMAL", patience=1.0).close()
    eye = Eye(path)
    yield eye
    eye.close()
    assert not pulses(), "each test has ended its threads"


def silent() -> None:
    """A worker says nothing of itself."""


async def claimed(store: SqliteStore, worker: str) -> Claim:
    store.register_worker(worker, lambda event: None)
    await store.append([(Job(), 1.0)])
    ((one,), _) = await store.claim(worker)
    return one


async def test_a_blocked_loop_keeps_its_leases(path: Path, eye: Eye) -> None:
    store, other = SqliteStore(path, lease=1.5), SqliteStore(path, lease=1.5)
    one = await claimed(store, "w")
    first = eye.leases()
    for _ in range(3):  # three thirds of a lease: it would be over
        later = eye.until(eye.leases, first)  # blocks the loop
        assert later["w"] > first["w"]
        first = later
    assert await other.reap() == 0
    assert await other.claim("other") == ([], 1.0)
    assert await store.settle([(*one, RELEASED)]) == [Settled.APPLIED]
    await other.close()
    await store.close()


async def test_a_claim_of_what_is_new_is_kept_as_well(path: Path, eye: Eye) -> None:
    store = SqliteStore(path, lease=0.3)
    store.register_worker("w", lambda event: None)
    await store.claim("w", 0)
    entering = [store.append_soon(Job(), 1.0) for _ in range(2)]
    await store.claim("w", 2)
    await asyncio.gather(*entering)
    first = eye.leases()
    assert eye.until(eye.leases, first)["w"] > first["w"]
    await store.close()


async def test_a_heartbeat_renews_all_leases_of_a_worker_with_one_row(path: Path, eye: Eye) -> None:
    store, other = SqliteStore(path, lease=0.3), SqliteStore(path, lease=0.3)
    store.register_worker("w", lambda event: None)
    await store.append([(Job(), 1.0) for _ in range(50)])
    claims, _ = await store.claim("w", 50)
    assert len(claims) == 50
    written, first = eye.written(), eye.leases()
    while eye.leases()["w"] < first["w"] + 0.6:  # blocks the loop for two lengths of a lease
        time.sleep(0.01)
    assert eye.written() == written
    assert await other.reap() == 0
    await store.close()
    await other.close()


async def test_a_heartbeat_writes_a_missing_row_of_a_worker_again(path: Path, eye: Eye) -> None:
    store, other = SqliteStore(path, lease=0.3), SqliteStore(path, lease=0.3)
    await claimed(store, "w")
    db = apsw.Connection(str(path))
    db.set_busy_timeout(10_000)
    db.execute("DELETE FROM lionpride_worker")
    db.close()
    first = eye.leases()
    while eye.leases()["w"] < first["w"] + 0.6:
        time.sleep(0.01)
    assert await other.reap() == 0
    await store.close()
    await other.close()


async def test_it_gives_a_sign_of_life_of_workers_that_hold_nothing(path: Path, eye: Eye) -> None:
    store = SqliteStore(path, lease=0.3)
    store.register_worker("w", lambda event: None)
    await store.append([])
    await store.reap()
    first = eye.seen()
    assert eye.until(eye.seen, first)["w"] > first["w"]
    await store.close()


async def test_it_renews_those_of_its_own_workers_alone(path: Path, eye: Eye) -> None:
    store, other = SqliteStore(path, lease=0.3), SqliteStore(path, lease=LONG)
    await claimed(other, "other")
    await claimed(store, "w")
    first = eye.leases()
    later = eye.until(eye.leases, first)
    assert later["other"] == first["other"]
    assert later["w"] > first["w"]
    await store.close()
    await other.close()


async def test_a_worker_that_was_discharged_has_no_heartbeat(path: Path, eye: Eye) -> None:
    store = SqliteStore(path, lease=0.3)
    await claimed(store, "gone")
    await claimed(store, "stays")
    store.unregister_worker("gone")
    await store.settled()
    for _ in range(3):  # the first heartbeat may have begun before
        seen = eye.seen()
        assert seen.keys() == {"stays"}
        assert eye.until(eye.seen, seen)["stays"] > seen["stays"]
    await store.close()


async def test_without_workers_there_is_no_thread(path: Path, eye: Eye) -> None:
    store = SqliteStore(path)
    await store.append([(Job(), 1.0)])
    await store.claim("w")
    assert not pulses()
    await store.close()


def test_without_anybody_to_renew_there_is_no_thread(path: Path, eye: Eye) -> None:
    heartbeat = make_heartbeat(path, "default", "NORMAL", LONG, time.time)
    heartbeat.renew_for({})
    assert not pulses()
    heartbeat.stop()


def test_one_thread_serves_all_workers(path: Path, eye: Eye) -> None:
    heartbeat = make_heartbeat(path, "default", "NORMAL", LONG, time.time)
    heartbeat.renew_for({"a": silent})
    heartbeat.renew_for({"a": silent, "b": silent})
    assert len(pulses()) == 1
    heartbeat.stop()
    assert not pulses()


def test_stop_ends_the_thread_at_once_and_it_can_begin_again(path: Path, eye: Eye) -> None:
    heartbeat = make_heartbeat(path, "default", "NORMAL", LONG, time.time)
    heartbeat.stop()
    for _ in range(2):
        heartbeat.renew_for({"a": silent})
        (thread,) = pulses()
        heartbeat.stop()
        assert not thread.is_alive(), "though the next beat is far off"
        heartbeat.stop()


def test_when_nobody_writes_any_more_the_file_is_closed(path: Path, eye: Eye) -> None:
    """The last connection takes the log with it."""
    eye.close()
    heartbeat = make_heartbeat(path, "default", "NORMAL", LONG, time.time)
    heartbeat.renew_for({"a": silent})
    heartbeat.stop()
    assert not Path(f"{path}-wal").exists()
    eye.__init__(path)  # type: ignore[misc]


async def test_a_beat_that_fails_is_logged_and_the_next_one_comes(
    path: Path, eye: Eye, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqliteStore(path, lease=0.3)
    await claimed(store, "w")
    first = eye.leases()
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")  # somebody who takes no turns
    while not caplog.messages:
        time.sleep(0.001)
    other.execute("ROLLBACK")
    other.close()
    assert "leases could not be renewed" in caplog.messages[0]
    assert eye.until(eye.leases, first)["w"] > first["w"]
    await store.close()


def test_a_renewed_lease_counts_from_when_it_is_written(path: Path, eye: Eye) -> None:
    """Waiting for the file uses up none of it: the clock is asked when nobody else can write."""
    other = apsw.Connection(str(path))
    alone: list[bool] = []
    asked = threading.Event()

    def clock() -> float:
        try:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
            alone.append(False)
        except apsw.BusyError:
            alone.append(True)
        if len(alone) == 3:
            asked.set()
        return time.time()

    heartbeat = make_heartbeat(path, "default", "NORMAL", 0.05, clock)
    heartbeat.renew_for({"a": silent})
    asked.wait()
    heartbeat.stop()
    other.close()
    assert all(alone)
