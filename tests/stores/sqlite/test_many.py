"""One statement for many rows: every row once, in order, in few different statements."""

import apsw
import pytest

from lionpride.stores.sqlite.many import SIZES, each_of, many

FROM_VALUES = "SELECT * FROM (VALUES "
NO_NULLS = ") WHERE column1 IS NOT NULL"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 99, 128, 129, 400])
def test_every_row_is_written_once(count: int) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE pair (a, b)")
    rows = [(number, f"{number}") for number in range(count)]
    many(connection, "this is no statement, and is not executed ", "(?)", "", [])
    many(connection, f"INSERT INTO pair {FROM_VALUES}", "(?, ?)", NO_NULLS, rows)
    assert list(connection.execute("SELECT a, b FROM pair ORDER BY rowid")) == rows


def test_what_follows_the_rows_is_said_once() -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE one (a UNIQUE)")
    rows = [(number % 50,) for number in range(200)]
    after = f"{NO_NULLS} ON CONFLICT (a) DO NOTHING"
    many(connection, f"INSERT INTO one {FROM_VALUES}", "(?)", after, rows)
    assert connection.execute("SELECT count(*) FROM one").get == 50


def test_what_comes_before_the_rows_is_bound_to_each_statement() -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE one (a)")
    rows = [(number,) for number in range(1, 100)]
    values = [*rows, (100,), (101,)]
    many(connection, f"INSERT INTO one {FROM_VALUES}", "(?)", NO_NULLS, values)
    many(connection, "DELETE FROM one WHERE a > ? AND a IN (", "?", ")", rows, 10)
    assert [a for (a,) in connection.execute("SELECT a FROM one")] == [*range(1, 11), 100, 101]


def test_few_different_statements_are_compiled() -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE one (a)")
    texts: set[str] = set()
    connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, lambda event: texts.add(event["sql"]))
    for count in range(300):
        many(connection, f"INSERT INTO one {FROM_VALUES}", "(?)", NO_NULLS, [(count,)] * count)
    assert len(texts) == len(SIZES)


@pytest.mark.parametrize(
    "numbers",
    [[5], [5, 6, 7], [5, 7, 8], [7, 5, 6], [5, 5, 7], [*range(20, 200)], [*range(20, 400, 2)]],
    ids=str,
)
def test_each_of_some_numbers_and_no_other_is_meant(numbers: list[int]) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE one (a INTEGER PRIMARY KEY)")
    connection.executemany("INSERT INTO one VALUES (?)", [(n,) for n in range(1000)])
    each_of(connection, "DELETE FROM one WHERE a > ? AND a", numbers, 2)
    left = {a for (a,) in connection.execute("SELECT a FROM one")}
    assert set(range(1000)) - left == set(numbers)
