"""One statement for many rows: every row once, in order, in few different statements."""

import apsw
import pytest

from lionpride.stores.sqlite.many import SIZES, many


@pytest.mark.parametrize("count", [0, 1, 2, 3, 99, 128, 129, 400])
def test_every_row_is_written_once(count: int) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE pair (a, b)")
    rows = [(number, f"{number}") for number in range(count)]
    many(connection, "INSERT INTO pair (b, a) VALUES ", "(?2 || '', ?)", "", [])
    many(connection, "INSERT INTO pair (a, b) VALUES ", "(?, ?)", "", rows)
    assert list(connection.execute("SELECT a, b FROM pair ORDER BY rowid")) == rows


def test_what_follows_the_rows_is_said_once() -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE one (a UNIQUE)")
    rows = [(number % 50,) for number in range(200)]
    many(connection, "INSERT INTO one VALUES ", "(?)", " ON CONFLICT (a) DO NOTHING", rows)
    assert connection.execute("SELECT count(*) FROM one").get == 50


def test_few_different_statements_are_compiled() -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE one (a)")
    texts: set[str] = set()
    connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, lambda event: texts.add(event["sql"]))
    for count in range(300):
        many(connection, "INSERT INTO one VALUES ", "(?)", "", [(count,)] * count)
    assert len(texts) == len(SIZES)
