"""Taking turns: by real lock files, between connections, threads and processes."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stores.makers import Job

from lionpride.errors import StoreError
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.sqlite.write_lock import WriteLock

HOLD = """
import sys
from pathlib import Path
from lionpride.stores.sqlite.write_lock import WriteLock
turn = WriteLock(Path(sys.argv[1]), 30.0)
turn.acquire(lambda: False)
print("mine", flush=True)
sys.stdin.readline()
turn.release()
print("given", flush=True)
sys.stdin.readline()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the turn until it reads a line."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mine\n"
        yield process
        process.kill()


def tell(process: subprocess.Popen[str]) -> str:
    """Have it go on; what it says then."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@pytest.fixture
def turn(path: Path) -> Iterator[WriteLock]:
    turn = WriteLock(path, 0.0)
    yield turn
    turn.close()


def test_one_at_a_time_has_the_turn(path: Path, turn: WriteLock) -> None:
    other = WriteLock(path, 0.0)
    assert turn.try_acquire()
    assert not other.try_acquire()
    turn.release()
    assert other.try_acquire()
    assert not turn.try_acquire()
    other.close()
    assert turn.try_acquire(), "who closes it, gives it"


def test_its_holder_may_take_it_again(turn: WriteLock) -> None:
    assert turn.try_acquire()
    assert turn.try_acquire()


def test_to_give_what_one_has_not_takes_it_from_nobody(path: Path, turn: WriteLock) -> None:
    other, third = WriteLock(path, 0.0), WriteLock(path, 0.0)
    assert other.try_acquire()
    turn.release()
    assert not third.try_acquire()
    other.close()
    third.close()


def test_it_may_be_closed_twice_and_the_file_stays_empty(path: Path, turn: WriteLock) -> None:
    turn.try_acquire()
    turn.close()
    turn.close()
    assert Path(f"{path}-turn").read_bytes() == b""
    assert not path.exists()


def test_another_process_has_it(path: Path, turn: WriteLock) -> None:
    with holder(path) as process:
        assert not turn.try_acquire()
        assert tell(process) == "given\n"
        assert turn.try_acquire()


def test_a_killed_process_has_it_no_more(path: Path, turn: WriteLock) -> None:
    with holder(path) as process:
        assert not turn.try_acquire()
        process.kill()
        process.wait()
        assert turn.try_acquire()


def test_it_is_waited_for(path: Path, turn: WriteLock) -> None:
    patient = WriteLock(path, 30.0)
    assert turn.try_acquire()
    began, has_it = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        patient.acquire(lambda: False)
        has_it.set()

    thread = threading.Thread(target=wait)
    thread.start()
    began.wait()
    assert not has_it.is_set()
    turn.release()
    thread.join(30.0)
    assert has_it.is_set()
    assert not turn.try_acquire()
    patient.close()


def test_who_has_no_more_patience_goes_on_without(path: Path, turn: WriteLock) -> None:
    """And gives nothing then: the holder still has it."""
    hasty, third = WriteLock(path, 0.01), WriteLock(path, 0.0)
    assert turn.try_acquire()
    hasty.acquire(lambda: False)
    hasty.release()
    assert not third.try_acquire()
    hasty.close()
    third.close()


async def test_a_stopped_process_that_has_the_turn_hinders_no_store(path: Path) -> None:
    with holder(path) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        store = SqliteStore(path, patience=3600.0)
        async with asyncio.timeout(60.0):
            await store.append([(Job(), 1.0)])
            await store.append([(Job(), 1.0) for _ in range(1000)])
        assert sum((await store.counts()).values()) == 1001
        await store.close()
        process.send_signal(signal.SIGCONT)


async def test_a_store_waits_for_its_turn_and_does_not_block_the_loop(path: Path) -> None:
    store = SqliteStore(path, patience=30.0)
    await store.append([(Job(), 1.0)])
    with holder(path) as process:
        append = asyncio.ensure_future(store.append([(Job(), 1.0)]))
        said = await asyncio.to_thread(tell, process)  # on the loop that waits
        assert said == "given\n"
        await append
    assert sum((await store.counts()).values()) == 2
    await store.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_shares_it_and_gives_it_up_with_its_parent(
    path: Path, turn: WriteLock
) -> None:
    """A lock is the open file's, which a fork copies: the parent's ``give`` counts for both."""
    assert turn.try_acquire()
    other = WriteLock(path, 0.0)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    assert not other.try_acquire()
    turn.release()
    assert other.try_acquire(), "though the child lives and has the file open"
    os.close(writing)
    os.waitpid(pid, 0)
    other.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_that_dies_takes_no_turn_from_its_parent(path: Path, turn: WriteLock) -> None:
    assert turn.try_acquire()
    other = WriteLock(path, 0.0)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert not other.try_acquire()
    other.close()


async def test_a_file_system_without_locks_leaves_the_store_usable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    store = SqliteStore(path)
    await store.append([(Job(), 1.0)])
    monkeypatch.setattr("fcntl.flock", flock)
    async with asyncio.timeout(60.0):
        await store.append([(Job(), 1.0)])
        await store.append([(Job(), 1.0) for _ in range(1000)])
    assert sum((await store.counts()).values()) == 1002
    await store.close()


def test_a_lock_file_that_cannot_be_opened(path: Path) -> None:
    Path(f"{path}-turn").mkdir()
    with pytest.raises(
        StoreError, match=r"run\.db-turn, the lock file.*the right to write"
    ) as error:
        WriteLock(path, 0.0)
    assert not error.value.retryable
