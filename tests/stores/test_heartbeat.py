"""A heartbeat renews the leases of a process, whatever goes wrong in its thread."""

import asyncio
import ctypes
import errno
import fcntl
import gc
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from stores.exhausted import LEASE, Desk, Long
from stores.homes import Home, aside
from stores.makers import Job

from lionpride.core import EventStatus
from lionpride.rules.queue_position import About
from lionpride.stores.open import open_store

TESTS = Path(__file__).parents[1]

pytestmark = pytest.mark.guard(60)


class Place:
    """Where a queue is kept: its URL, and until when each worker holds what it has."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._path, self._home = folder / "run.db", Home() if kind == "postgres" else None
        if self._home is None:
            self.url = f"sqlite:///{self._path}?lease={LEASE}"
        else:
            join = "&" if "?" in self._home.url else "?"
            options = f"lionpride_schema={self._home.schema}&lionpride_lease={LEASE}"
            self.url = f"{self._home.url}{join}{options}"

    def seen(self, worker: str) -> float:
        """When a worker gave its last sign of life; 0.0 before the first."""
        if self._home is None:
            db = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            found = db.execute(
                "SELECT heartbeat_at FROM lionpride_worker WHERE name = ?", (worker,)
            ).get
            db.close()
        else:
            text = f"SELECT heartbeat_at FROM {self._home.schema}.worker WHERE name = $1"
            found = aside().do(aside().connection.fetchval(text, worker))
        return found or 0.0


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path, request.param)


# -- no free file descriptor ---------------------------------------------------------------------


PROGRAM = """
import asyncio, logging, resource, sys
from stores.exhausted import Desk, Long

url, mode = sys.argv[1:]
Long.say = lambda text: print(text, flush=True)
warned = asyncio.Event()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

class Tell(logging.Handler):
    def emit(self, record):
        if "could not be renewed" in record.getMessage():
            loop.call_soon_threadsafe(warned.set)
            Long.say("warned")

def take_all():
    # Only 0, 1 and 2 are allowed: one that is closed meanwhile does not become free.
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    Long.exhausted = True

def release_all():
    Long.exhausted = False
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

async def main():
    global loop
    loop = asyncio.get_running_loop()
    logging.getLogger("lionpride").addHandler(Tell())
    desk = Desk(store=url, queue="q")
    await desk.store.counts()
    if mode != "briefly":  # it is due long after the first claim, which may be under way
        await desk.append(Long(), delay=2.0)
    take_all()
    async with desk:
        if mode == "briefly":
            await asyncio.sleep(0.6)
        else:
            await warned.wait()
            await asyncio.sleep(3.0)
            Long.say("released")
        release_all()
        if mode == "briefly":
            await desk.append(Long())
        while not desk.completed_events:
            await asyncio.sleep(0.01)

asyncio.run(main())
"""


@asynccontextmanager
async def exhausted(place: Place, mode: str) -> AsyncIterator[Callable[[], Any]]:
    """A worker without a free file descriptor; what it prints, line by line."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    }
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, place.url, mode),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert child.stdout is not None

    async def line(but: str = "") -> str:
        assert child.stdout is not None
        while (said := (await child.stdout.readline()).decode().strip()) == but:
            pass
        return said

    try:
        yield line
        assert await child.wait() == 0
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


@pytest.mark.promise("heartbeat-survives-errors")
async def test_a_worker_that_had_no_file_descriptor_for_half_a_second_keeps_its_leases(
    place: Place,
) -> None:
    Long.starts.clear()
    async with exhausted(place, "briefly") as line:
        assert await line(but="warned") == "start exhausted=False"
        async with Desk(store=place.url, queue="q"):
            assert await line(but="warned") == "end"
    assert Long.starts == [], "another worker ran the event at the same time"


@pytest.mark.promise("heartbeat-survives-errors")
async def test_a_worker_that_cannot_renew_its_leases_claims_nothing_more(place: Place) -> None:
    async with exhausted(place, "until it is warned") as line:
        assert await line() == "warned"
        assert await line() == "released", "it is logged once, and nothing is started"
        assert await line(but="warned") == "start exhausted=False"
        assert await line(but="warned") == "end"


# -- what else may go wrong in the thread ----------------------------------------------------------


async def later(place: Place, worker: str) -> None:
    """Wait for another sign of life."""
    first = place.seen(worker)
    while place.seen(worker) <= first:
        await asyncio.sleep(0.02)


class Ended(BaseException):
    """Derived from BaseException, as SystemExit is."""


@pytest.mark.promise("heartbeat-survives-errors")
@pytest.mark.parametrize("error", [ValueError("no"), MemoryError(), SystemExit(), Ended()])
async def test_no_error_ends_the_heartbeat(place: Place, error: BaseException) -> None:
    store, asked = open_store(place.url, queue="q", name="q"), threading.Event()

    def about() -> Any:
        if threading.current_thread() is threading.main_thread():
            return None
        asked.set()
        raise error

    store.register_worker("w", lambda event: None, _description_sources(about))
    await store.append([(Job(), 1.0)])
    assert (await store.claim("w"))[0]
    while not asked.is_set():
        await asyncio.sleep(0.01)
    await later(place, "w")
    await later(place, "w")
    await store.close()


def _description_sources(about: Callable[[], Any]) -> Any:
    return lambda: about() or About(slots=1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a half-made socket
async def test_an_error_that_is_raised_in_the_thread_from_outside_does_not_end_the_heartbeat(
    place: Place,
) -> None:
    store = open_store(place.url, queue="q", name="q")
    before = set(threading.enumerate())
    store.register_worker("w", lambda event: None)
    await store.append([(Job(), 1.0)])
    await later(place, "w")
    (thread,) = [each for each in set(threading.enumerate()) - before if "heartbeat" in each.name]
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
    )
    await later(place, "w")
    await later(place, "w")
    await store.close()
    gc.collect()  # what the error left open is found here and not in another test


async def test_a_worker_whose_heartbeat_hangs_claims_nothing_until_it_beats_again(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(place.url, queue="q", name="q")
    hangs, go_on = threading.Event(), threading.Event()

    def about() -> Any:
        if threading.current_thread() is not threading.main_thread():
            hangs.set()
            go_on.wait(30)

    store.register_worker("w", lambda event: None, _description_sources(about))
    await store.append([(Job(), 1.0)])
    while not hangs.is_set():
        await asyncio.sleep(0.01)
    while not any("no heartbeat" in each for each in caplog.messages):
        await asyncio.sleep(0.01)
    claims, wait = await store.claim("w")
    assert (claims, wait is not None) == ([], True)
    go_on.set()
    while not (await store.claim("w"))[0]:
        await asyncio.sleep(0.01)
    await store.close()


@pytest.mark.promise("one-attempt-at-a-time")
async def test_after_a_stop_the_other_workers_of_a_process_get_time_to_renew_their_leases(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = (open_store(place.url, queue="q", name="q") for _ in range(2))
    stop, go_on = threading.Event(), {"one": threading.Event(), "other": threading.Event()}

    def hang(worker: str) -> Callable[[], Any]:
        def about() -> Any:
            if stop.is_set() and threading.current_thread() is not threading.main_thread():
                go_on[worker].wait(30)

        return about

    one.register_worker("one", lambda event: None, _description_sources(hang("one")))
    other.register_worker("other", lambda event: None, _description_sources(hang("other")))
    await one.append([(Job(label="runs"), 1.0)])
    assert len((await one.claim("one", start=True))[0]) == 1
    assert await other.reap() == 0
    stop.set()  # as if the process was stopped
    while sum("no heartbeat" in each for each in caplog.messages) < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(LEASE)  # they have lapsed for certain, by each clock
    await other.append([(Job(label="waits"), 2.0)])
    go_on["other"].set()  # whose heartbeat is the first to go on
    claims: list[Any] = []
    while not claims:
        claims, _ = await other.claim("other", 2)
        await asyncio.sleep(0.01)
    go_on["one"].set()
    await later(place, "one")
    assert [event.label for event, _ in claims] == ["waits"]
    assert await other.reap() == 0
    await one.close()
    await other.close()


# -- the write lock of a file ----------------------------------------------------------------------


async def test_a_write_lock_that_cannot_be_had_stops_neither_heartbeat_nor_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, "sqlite")
    store = open_store(place.url, queue="q", name="q")
    store.register_worker("w", lambda event: None)
    await store.append([(Job(), 1.0)])

    def refuse(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        await later(place, "w")
        await asyncio.wait_for(store.append([(Job(), 1.0)]), 10)
        assert len((await store.claim("w", 2))[0]) == 2
    await later(place, "w")
    assert (await store.counts())[EventStatus.PROCESSING] == 2
    await store.close()
