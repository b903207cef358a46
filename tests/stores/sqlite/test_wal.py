"""The write-ahead log: it is copied when it is long, and slow commits leave the event loop."""

from pathlib import Path

import apsw
import pytest

from lionpride.stores.sqlite.wal import QUICK, WriteAheadLog


@pytest.fixture
def connection(tmp_path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(tmp_path / "a.db"))
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE one (a)")
    return connection


def fill(connection: apsw.Connection, log: WriteAheadLog) -> None:
    for _ in range(10):
        connection.execute("INSERT INTO one VALUES (zeroblob(3000))")
    log.measure()


def test_it_is_copied_when_it_is_long(connection: apsw.Connection, tmp_path: Path) -> None:
    log = WriteAheadLog(connection, 15)
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
    log = WriteAheadLog(connection, 15)
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
    log = WriteAheadLog(connection, 15)
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
    log = WriteAheadLog(connection, 15)
    for _ in range(10):
        log.note(QUICK * 2)
        assert log.is_quick
        for _ in range(200):
            log.note(QUICK / 10)


def test_a_disk_that_is_always_slow_is_known_by_its_second_commit_for_good(
    connection: apsw.Connection,
) -> None:
    log = WriteAheadLog(connection, 15)
    log.note(QUICK * 2)
    for _ in range(1000):
        log.note(QUICK * 2)
        assert not log.is_quick
