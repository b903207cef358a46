"""``fork()`` with the store open: the child is refused, and the parent does not notice."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from stores.makers import Job

from lionpride.errors import OperationError
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.sqlite.write_lock import WriteLock

USES: dict[str, Callable[[SqliteStore], object]] = {
    "append": lambda store: store.append([(Job(), 1.0)]),
    "claim": lambda store: store.claim("w"),
    "counts": lambda store: store.counts(),
    "list_records": lambda store: store.list_records(),
    "get": lambda store: store.get([]),
    "find": lambda store: store.find(Job().id),
    "reap": lambda store: store.reap(),
}
UPKEEP: dict[str, Callable[[SqliteStore], object]] = {
    "schema": lambda store: store.schema(),
    "upgrade": lambda store: store.upgrade(),
}


def in_child(work: Callable[[], object]) -> str:
    """What a forked child says of what it was made to do."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "nothing"
        try:
            asyncio.events._set_running_loop(None)
            work()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(pid, 0)
    return said


@pytest.fixture(autouse=True)
def alone() -> None:
    """No other test has left a thread that a fork could hurt."""
    assert threading.current_thread() is threading.main_thread()


@pytest.mark.promise("forked-child-is-refused")
@pytest.mark.parametrize("use", USES)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_the_child_is_refused(use: str, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "run.db")
    await store.append([(Job(), 1.0)])

    async def there() -> None:
        await USES[use](store)

    said = in_child(lambda: asyncio.run(there()))
    assert said.startswith(OperationError.__name__), said
    assert "fork" in said
    await store.append([(Job(), 1.0)])
    await store.close()


@pytest.mark.promise("forked-child-is-refused")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_the_child_may_close_what_it_may_not_use(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    store = SqliteStore(path)
    await store.append([(Job(), 1.0)])
    said = in_child(lambda: asyncio.run(store.close()))
    assert said == "nothing"
    await store.append([(Job(), 1.0)])
    assert sum((await store.counts()).values()) == 2
    await store.close()
    db = apsw.Connection(str(path))
    assert db.pragma("integrity_check") == "ok"
    db.close()


@pytest.mark.promise("forked-child-is-refused")
@pytest.mark.parametrize("use", ["append", "claim", "counts", "schema", "upgrade", "seen"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_the_child_may_not_open_the_file_again(use: str, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    store = SqliteStore(path)
    await store.append([(Job(), 1.0)])
    (tmp_path / "link.db").symlink_to(path)

    async def there(name: str) -> None:
        own = SqliteStore(tmp_path / name)
        if use == "seen":
            await own.inspector.version()
        else:
            await {**USES, **UPKEEP}[use](own)  # type: ignore[misc]

    for name in ("run.db", "link.db"):
        said = in_child(lambda name=name: asyncio.run(there(name)))  # type: ignore[misc]
        assert said.startswith(OperationError.__name__), said
        assert "open it after the fork" in said
        assert "spawn or forkserver" in said
    await store.append([(Job(), 1.0)])
    assert sum((await store.counts()).values()) == 2
    await store.close()


@pytest.mark.promise("forked-child-is-refused")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_child_of_the_child_may_not_open_the_file_again(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    store = SqliteStore(path)
    await store.append([(Job(), 1.0)])

    async def there() -> None:
        await SqliteStore(path).append([(Job(), 1.0)])

    async def between() -> None:
        await store.close()  # has no effect on what the child inherited
        raise RuntimeError(in_child(lambda: asyncio.run(there())))

    said = in_child(lambda: asyncio.run(between()))
    assert said.startswith("RuntimeError: OperationError"), said
    await store.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_the_child_may_open_a_file_that_was_closed_before_the_fork(tmp_path: Path) -> None:
    path, other = tmp_path / "run.db", SqliteStore(tmp_path / "other.db")
    store = SqliteStore(path)
    await store.append([(Job(), 1.0)])
    await other.append([(Job(), 1.0)])
    await store.close()

    async def there() -> None:
        await store.append([(Job(), 1.0)])
        own = SqliteStore(tmp_path / "new.db")
        await own.append([(Job(), 1.0)])
        await own.close()
        await store.close()

    assert in_child(lambda: asyncio.run(there())) == "nothing"
    assert sum((await store.counts()).values()) == 2
    await store.close()
    await other.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_the_child_of_a_thread_knows_what_other_threads_have_open(tmp_path: Path) -> None:
    """Files are opened and closed in threads while the process forks."""
    path, other = tmp_path / "run.db", tmp_path / "other.db"
    store = SqliteStore(path)
    await store.append([(Job(), 1.0)])
    over = threading.Event()

    async def use() -> None:
        own = SqliteStore(other)
        await own.append([(Job(), 1.0)])
        await own.close()

    def use_again() -> None:
        while not over.is_set():
            asyncio.run(use())

    async def there() -> None:
        await SqliteStore(path).counts()

    thread = threading.Thread(target=use_again)
    thread.start()
    try:
        said = {await asyncio.to_thread(in_child, lambda: asyncio.run(there())) for _ in range(20)}
    finally:
        over.set()
        thread.join()
    assert len(said) == 1
    assert said.pop().startswith(OperationError.__name__)
    await store.close()


ORPHAN = """
import asyncio, os, signal, sys, time
from stores.makers import Job
from lionpride.stores.sqlite import SqliteStore

fork_now = False

def clock():
    if fork_now and os.fork() == 0:  # in the middle of a transaction of the heartbeat
        os.write(1, f"{os.getpid()}\\n".encode())
        while True:
            time.sleep(3600)
    if fork_now:
        time.sleep(3600)
    return time.time()

async def main():
    global fork_now
    store = SqliteStore(sys.argv[1], lease=0.3, clock=clock)
    store.register_worker("w", lambda event: None)
    await store.append([(Job(), 1.0)])
    await store.claim("w")
    fork_now = True
    time.sleep(3600)

asyncio.run(main())
"""


async def test_an_orphaned_child_holds_no_lock(tmp_path: Path) -> None:
    """The process dies in a transaction, and its forked child lives on."""
    path = tmp_path / "run.db"
    tests = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([tests, *filter(None, sys.path)])},
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
        try:
            turn = WriteLock(path, 0.0)
            assert turn.try_acquire()
            turn.close()
            store = SqliteStore(path, patience=3600.0)
            async with asyncio.timeout(60.0):
                await store.append([(Job(), 1.0)])
            assert sum((await store.counts()).values()) == 2
            await store.close()
        finally:
            os.kill(child, signal.SIGKILL)
