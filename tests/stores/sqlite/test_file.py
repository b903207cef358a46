"""Trouble with the file: each kind is named, with the path and what to do, and nothing is touched.

What needs a process of its own (its rights, its limits) is a small program under ``RUN``.
"""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from stores.makers import Job

from lionpride.errors import ConfigurationError, LionprideError, StoreError
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.sqlite.file import VERSION, open_file

NOBODY = 65534

RUN = """
import asyncio, os, resource, signal, sys, tempfile
from lionpride.errors import LionprideError
from lionpride.model.event_data import EventData
from lionpride.stores.sqlite import SqliteStore

class Job(EventData):
    label: str = ""

async def load_modules():
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(folder + "/run.db")
        await store.append([(Job(), 1.0)])
        await store.close()

{before}

async def main():
    store = SqliteStore(sys.argv[1], patience=0.2)
    try:
        for number in range({times}):
            await store.append([(Job(label="x" * 3000), 1.0)])
            print("appended", flush=True)
    except LionprideError as error:
        print(type(error).__name__, error, flush=True)
    try:
        await store.close()
    except LionprideError as error:
        print("close:", type(error).__name__, error, flush=True)

asyncio.run(main())
"""


def run(path: Path, before: str = "", times: int = 1) -> list[str]:
    """What a process says that appends to a file."""
    command = [sys.executable, "-c", RUN.format(before=before, times=times), str(path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60, env=environment
    )
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


def hashes(folder: Path) -> dict[str, str]:
    """Every file of a folder, by its contents."""
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in sorted(folder.iterdir())
        if not each.name.endswith("-shm")  # an index over the log in shared memory, made anew
    }


async def use(path: Path, patience: float = 0.2) -> None:
    store = SqliteStore(path, patience=patience)
    try:
        await store.append([(Job(), 1.0)])
    finally:
        await store.close()


async def refused(path: Path, words: str, kind: type[LionprideError] = StoreError) -> None:
    """The file is refused in these words, and everything beside it is as it was."""
    before = hashes(path.parent)
    with pytest.raises(kind, match=words) as caught:
        await use(path)
    assert str(path) in str(caught.value) or kind is ConfigurationError
    assert hashes(path.parent) == before


# -- not ours --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"hello", b"x" * 100_000, b"SQLite format 2\x00" + b"\x00" * 5000, b"SQLite format 3"],
    ids=["short", "long", "another format", "cut short"],
)
async def test_a_file_that_is_no_database(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(content)
    await refused(path, "no SQLite database.*give another path")


async def test_a_file_that_only_begins_like_a_database(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(b"SQLite format 3\x00" + os.urandom(20_000))
    await refused(path, "(no SQLite|another program's) database.*give another path")


def another_programs(path: Path, mode: str, *, end: bool, application: int) -> None:
    """Make a database of another program; it may have died before it closed it."""
    script = f"""
import apsw, os
db = apsw.Connection({str(path)!r})
db.execute("PRAGMA journal_mode = {mode}; PRAGMA application_id = {application}").fetchall()
db.execute("CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')")
{"db.close()" if end else "os._exit(0)"}
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("end", [True, False], ids=["closed", "killed"])
@pytest.mark.promise("failed-writes-change-nothing")
@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_another_programs_database(mode: str, end: bool, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    another_programs(path, mode, end=end, application=7)
    await refused(path, r"another program's database \(application_id 7\).*give another path")


@pytest.mark.promise("failed-writes-change-nothing")
async def test_a_newer_schema(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    await use(path)
    db = apsw.Connection(str(path))
    db.execute("INSERT INTO lionpride_version (number) VALUES (?)", (VERSION + 1,))
    db.close()
    words = rf"newer version of lionpride-core \(schema {VERSION + 1}; this one knows {VERSION}\)"
    await refused(path, f"{words}.*upgrade lionpride-core")


async def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "run.db").mkdir()
    with pytest.raises(ConfigurationError, match="is a directory: give the path of a file"):
        await use(tmp_path / "run.db")


async def test_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist: make it, or give another path"):
        await use(tmp_path / "not here" / "run.db")
    assert not list(tmp_path.iterdir())


# -- no right to write -----------------------------------------------------------------------------

DROP = f"""
asyncio.run(load_modules())  # `nobody` may have no right to read the interpreter's folder
if os.getuid() == 0: os.setgid({NOBODY}); os.setuid({NOBODY})
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that another user can reach; pytest's own is closed to all others."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="lionpride-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path
        path.chmod(0o755)


@pytest.mark.promise("failed-writes-change-nothing")
async def test_a_read_only_file(place: Path) -> None:
    path = place / "run.db"
    await use(path)
    path.chmod(0o444)
    before = hashes(place)
    (said,) = run(path, DROP)
    assert said.startswith(f"StoreError {path} cannot be written: give this process the right")
    assert hashes(place) == before


async def test_a_read_only_directory(place: Path) -> None:
    path = place / "run.db"
    await use(path)
    for each in place.iterdir():
        each.chmod(0o666)
    place.chmod(0o555)
    before = hashes(place)
    (said,) = run(path, DROP)
    assert said.startswith(f"StoreError {path} cannot be ")
    assert "director" in said
    assert hashes(place) == before


async def test_a_read_only_directory_without_the_file(place: Path) -> None:
    place.chmod(0o555)
    (said,) = run(place / "run.db", DROP)
    assert said.startswith(f"StoreError {place / 'run.db'} cannot be opened: its directory must")
    assert not list(place.iterdir())


async def test_a_file_that_may_not_be_read(place: Path) -> None:
    path = place / "run.db"
    await use(path)
    path.chmod(0o000)
    (said,) = run(path, DROP)
    assert said.startswith(f"StoreError {path} cannot be read")


async def test_a_turn_file_that_may_not_be_written(place: Path) -> None:
    path = place / "run.db"
    await use(path)
    for each in place.iterdir():
        each.chmod(0o666)
    place.chmod(0o777)
    turn = Path(f"{path}-turn")
    turn.chmod(0o444)
    (said,) = run(path, DROP)
    assert said.startswith("StoreError")
    assert str(turn) in said


# -- no room ---------------------------------------------------------------------------------------

FULL = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""


FRAMES = 32 + 40 * 4120
"""A log of 40 pages: a write that begins there fails as a whole, and is no full disk to SQLite."""


async def test_no_room_to_make_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    (said,) = run(path, FULL.format(size=10_000))
    assert said.startswith(f"StoreError {path}")
    assert "room" in said or "full" in said
    assert run(path) == ["appended"], "what is left there is no hindrance"


@pytest.mark.parametrize("size", [200_000, FRAMES], ids=["in a page", "between two"])
async def test_no_room_for_another_event(size: int, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    *appended, said = run(path, FULL.format(size=size), times=500)
    assert set(appended) == {"appended"}
    assert said.startswith("StoreError ")
    assert str(path) in said
    assert "nothing of this step was written" in said
    assert "make room, and try again" in said
    await holds(path, len(appended))


def small_disk(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(folder)]
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=10).returncode == 0
    except OSError:
        return False


@pytest.mark.promise("failed-writes-change-nothing")
async def test_a_full_disk(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    if not small_disk(folder):
        pytest.skip("this process may not mount a small disk")
    try:
        path = folder / "run.db"
        *appended, said = run(path, times=500)
        assert set(appended) == {"appended"}
        assert said.startswith(f"StoreError the disk of {path} is full")
        assert "make room, and try again" in said
        subprocess.run(["mount", "-o", "remount,size=4m", str(folder)], check=True, timeout=10)
        await holds(path, len(appended))
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=10)


async def holds(path: Path, count: int) -> None:
    """What was acknowledged is there, and the file takes more."""
    store = SqliteStore(path)
    assert sum((await store.counts()).values()) == count
    await store.append([(Job(), 1.0)])
    assert sum((await store.counts()).values()) == count + 1
    await store.close()
    db = apsw.Connection(str(path))
    assert db.pragma("integrity_check") == "ok"
    db.close()


# -- somebody else writes --------------------------------------------------------------------------


@pytest.mark.promise("failed-writes-change-nothing")
async def test_a_file_that_another_connection_is_writing(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    await use(path)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    await refused(path, "is locked by another process.*end that process's transaction")
    other.execute("ROLLBACK")
    other.close()
    await use(path)


async def test_a_transaction_that_ends_in_time_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    await use(path)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    asyncio.get_running_loop().call_later(0.2, other.execute, "ROLLBACK")
    await use(path, patience=10.0)
    other.close()


async def test_a_locked_file_that_is_still_to_be_made(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    other = apsw.Connection(str(path))
    other.execute("BEGIN EXCLUSIVE")
    await refused(path, "is locked by another process.*end that process's transaction")
    other.execute("ROLLBACK")
    other.close()
    await use(path)


async def test_several_processes_make_the_same_file(tmp_path: Path) -> None:
    """By forks from here, so that they start within a millisecond of each other."""
    for number in range(15):
        path, pids = tmp_path / f"{number}.db", []
        for _ in range(4):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    open_file(path, synchronous="FULL", patience=10.0).close()
                    code = 0
                finally:
                    os._exit(code)
            pids.append(pid)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        assert codes == [0, 0, 0, 0]
        db = apsw.Connection(str(path))
        assert db.execute("SELECT number FROM lionpride_version").fetchall() == [(VERSION,)]
        db.close()


async def test_a_log_that_goes_while_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.db"
    other = open_file(path, synchronous="FULL", patience=1.0)
    assert path.with_name("run.db-wal").stat().st_size
    stat = Path.stat

    def closing(self: Path, **how: bool) -> os.stat_result:
        found = stat(self, **how)
        if self.name == "run.db-wal":
            other.close()  # the last user closes the file: its log is deleted
        return found

    monkeypatch.setattr(Path, "stat", closing)
    open_file(path, synchronous="FULL", patience=1.0).close()
