"""``fork()`` with the store open: the child is refused, and the parent does not notice."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from stores.makers import Job

from lionpride.errors import OperationError
from lionpride.stores.sqlite import SqliteStore

USES: dict[str, Callable[[SqliteStore], object]] = {
    "append": lambda store: store.append([(Job(), 1.0)]),
    "claim": lambda store: store.claim("w"),
    "counts": lambda store: store.counts(),
    "events": lambda store: store.events(),
    "get": lambda store: store.get([]),
    "find": lambda store: store.find(Job().id),
    "sweep": lambda store: store.sweep(),
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


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_the_child_may_open_the_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    store = SqliteStore(path)
    await store.append([(Job(), 1.0)])

    async def there() -> None:
        own = SqliteStore(path)
        await own.append([(Job(), 1.0)])
        await own.close()

    assert in_child(lambda: asyncio.run(there())) == "nothing"
    assert sum((await store.counts()).values()) == 2
    await store.close()
