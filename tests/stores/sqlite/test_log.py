"""The write-ahead log: it is copied when it is long, and slow commits leave the event loop."""

import shutil
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from lionpride.stores.sqlite import log as log_module
from lionpride.stores.sqlite.log import QUICK, Log, _lengthen


@pytest.fixture
def connection(tmp_path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(tmp_path / "a.db"))
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE one (a)")
    return connection


def fill(connection: apsw.Connection, log: Log) -> None:
    for _ in range(10):
        connection.execute("INSERT INTO one VALUES (zeroblob(3000))")
    log.measure()


def test_it_is_copied_when_it_is_long(connection: apsw.Connection, tmp_path: Path) -> None:
    log = Log(connection, 15)
    assert not log.is_long
    fill(connection, log)
    assert log.is_long
    before = (tmp_path / "a.db").stat().st_size
    log.copy()
    assert not log.is_long
    assert (tmp_path / "a.db").stat().st_size > before
    fill(connection, log)
    assert log.is_long, "it begins anew"


def test_a_reader_may_need_what_is_in_it(connection: apsw.Connection, tmp_path: Path) -> None:
    log = Log(connection, 15)
    reader = apsw.Connection(str(tmp_path / "a.db"))
    reader.execute("BEGIN; SELECT * FROM one").fetchall()
    fill(connection, log)
    log.copy()
    assert not log.is_long, "it is not tried again with each commit"
    reader.execute("COMMIT")
    fill(connection, log)
    assert log.is_long
    log.copy()
    connection.execute("INSERT INTO one VALUES (1)")
    log.measure()
    assert not log.is_long
    reader.close()


def test_one_slow_commit_says_nothing_and_two_are_remembered_for_a_while(
    connection: apsw.Connection,
) -> None:
    log = Log(connection, 15)
    assert log.is_quick
    log.note(QUICK * 2)
    assert log.is_quick
    log.note(QUICK / 10)
    log.note(QUICK * 2)
    assert not log.is_quick
    quick = 0
    while not log.is_quick:
        log.note(QUICK / 10)
        quick += 1
    assert quick > 10


def test_slow_commits_far_apart_stay_on_the_loop(connection: apsw.Connection) -> None:
    log = Log(connection, 15)
    for _ in range(10):
        log.note(QUICK * 2)
        assert log.is_quick
        for _ in range(200):
            log.note(QUICK / 10)


def test_a_disk_that_is_always_slow_is_known_by_its_second_commit_for_good(
    connection: apsw.Connection,
) -> None:
    log = Log(connection, 15)
    log.note(QUICK * 2)
    for _ in range(1000):
        log.note(QUICK * 2)
        assert not log.is_quick


# --- the length of its file

FRAME = 24 + 4096


def commit(connection: apsw.Connection, log: Log) -> None:
    connection.execute("BEGIN IMMEDIATE; INSERT INTO one VALUES (zeroblob(3000))")
    log.lengthen()
    connection.execute("COMMIT")
    log.measure()


def pages(path: Path) -> int:
    return (path.stat().st_size - 32) // FRAME


def test_its_file_is_longer_than_what_is_in_it_and_no_longer_than_it_will_be(
    connection: apsw.Connection, tmp_path: Path
) -> None:
    connection.pragma("synchronous", 2)
    file, log, lengths = tmp_path / "a.db-wal", Log(connection, 300), set[int]()
    before = pages(file)
    commit(connection, log)
    assert pages(file) <= before + 3, "it may be the only one"
    while not log.is_long:
        commit(connection, log)
        lengths.add(pages(file))
    assert max(lengths) == 340
    assert len(lengths) <= 4, "it grows by many pages at once"
    assert min(lengths) > before + 100
    log.copy()
    commit(connection, log)
    assert pages(file) == 340, "it begins anew in the same room"


def test_a_log_with_zeros_behind_it_is_read_to_its_end_after_a_crash(
    connection: apsw.Connection, tmp_path: Path
) -> None:
    connection.pragma("synchronous", 2)
    log = Log(connection, 300)
    for number in range(1, 91):
        commit(connection, log)
        if number % 30 == 0:
            crashed = tmp_path / f"{number}"
            crashed.mkdir()
            for name in ("a.db", "a.db-wal"):
                shutil.copy(tmp_path / name, crashed)
            after = apsw.Connection(str(crashed / "a.db"))
            assert after.execute("SELECT count(*) FROM one").get == number
            assert after.pragma("integrity_check") == "ok"
            after.close()


def test_a_log_that_another_program_cut_off_is_made_longer_again(
    connection: apsw.Connection, tmp_path: Path
) -> None:
    connection.pragma("synchronous", 2)
    file, log = tmp_path / "a.db-wal", Log(connection, 300)
    while not log.is_long:
        commit(connection, log)
    other = apsw.Connection(str(tmp_path / "a.db"))
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert pages(file) <= 0
    log.copy()
    for _ in range(2):
        commit(connection, log)
    assert pages(file) > 100
    assert other.pragma("integrity_check") == "ok"
    other.close()


def test_zeros_take_the_place_of_nothing_that_is_written_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, others = tmp_path / "a.db-wal", b"frames of another process" * 100
    path.write_bytes(b"its head")

    def zeros(count: int) -> bytes:  # what is written, when the end of the file is known
        with path.open("ab") as file:
            file.write(others)
        return b"\0" * count

    monkeypatch.setattr(log_module, "bytes", zeros, raising=False)
    _lengthen(path, 1, 300)
    assert path.read_bytes().rstrip(b"\0") == b"its head" + others
    path.unlink()
    assert _lengthen(path, 1, 300) == 300
    assert not path.exists()


def test_nothing_is_written_to_the_log_of_a_transaction_that_sqlite_has_ended(
    connection: apsw.Connection, tmp_path: Path
) -> None:
    connection.pragma("synchronous", 2)
    file, log = tmp_path / "a.db-wal", Log(connection, 300)
    connection.execute("INSERT INTO one VALUES (1)")
    log.measure()
    before = file.stat().st_size
    for begin in ("SELECT 1", "BEGIN; SELECT * FROM one"):
        connection.execute(begin).fetchall()
        log.lengthen()
        assert file.stat().st_size == before, "another process may be writing there"
    connection.execute("COMMIT; BEGIN IMMEDIATE")
    log.lengthen()
    assert file.stat().st_size > before


def test_a_commit_that_makes_the_file_longer_does_not_count_as_slow(
    connection: apsw.Connection,
) -> None:
    connection.pragma("synchronous", 2)
    log = Log(connection, 1000)
    commit(connection, log)
    for _ in range(2):  # the first of them makes it longer
        commit(connection, log)
        log.note(QUICK * 2)
    assert log.is_quick
    commit(connection, log)
    log.note(QUICK * 2)
    assert not log.is_quick


def test_a_log_that_is_not_synced_with_each_commit_is_as_long_as_what_is_in_it(
    connection: apsw.Connection, tmp_path: Path
) -> None:
    connection.pragma("synchronous", 1)
    log = Log(connection, 300)
    before = pages(tmp_path / "a.db-wal")
    commit(connection, log)
    assert pages(tmp_path / "a.db-wal") <= before + 3


NO_ROOM = """
import resource, sys
from pathlib import Path
import apsw
from lionpride.stores.sqlite.log import Log

path, pages = sys.argv[1], int(sys.argv[2])
connection = apsw.Connection(path)
connection.pragma("journal_mode", "wal")
connection.pragma("synchronous", 2)
connection.execute("CREATE TABLE one (a)")
log = Log(connection, 300)
resource.setrlimit(resource.RLIMIT_FSIZE, (pages * 4120, pages * 4120))
for _ in range(10):
    connection.execute("BEGIN IMMEDIATE; INSERT INTO one VALUES (zeroblob(3000))")
    log.lengthen()
    connection.execute("COMMIT")
    log.measure()
print(Path(path + "-wal").stat().st_size // 4120)
"""


@pytest.mark.parametrize("pages", [50, 1])
def test_where_there_is_no_room_for_zeros_its_file_has_what_was_committed(
    tmp_path: Path, pages: int
) -> None:
    command = [sys.executable, "-c", NO_ROOM, str(tmp_path / "a.db"), str(pages)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if pages == 1:
        assert "FullError" in done.stderr or "IOError" in done.stderr, "SQLite says it, not we"
    else:
        assert int(done.stdout) < pages, done.stderr
