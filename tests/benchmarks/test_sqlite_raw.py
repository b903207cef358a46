"""Raw SQLite does the same work as a store."""

import json

import apsw
import pytest

from benchmarks import sqlite_raw


@pytest.mark.parametrize("n", [1, 99, 250])
def test_each_event_is_inserted_claimed_and_completed_once(n, tmp_path) -> None:
    assert sqlite_raw.child(n, str(tmp_path))["ns"] > 0
    connection = apsw.Connection(str(tmp_path / "measured.db"))
    rows = list(connection.execute("SELECT status, attempt, result, id, payload FROM event"))
    assert len(rows) == n
    assert {row[:3] for row in rows} == {(2, 1, sqlite_raw.RESULT)}
    assert all(json.loads(payload)["id"] == uid for *_, uid, payload in rows)
    assert dict(connection.execute("SELECT status, events FROM count")) == {0: 0, 1: 0, 2: n}
    connection.close()


def test_it_syncs_each_commit(tmp_path) -> None:
    connection = sqlite_raw.connect(str(tmp_path), "x")
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    connection.close()


def test_the_claim_uses_an_index(tmp_path) -> None:
    connection = sqlite_raw.connect(str(tmp_path), "x")
    steps = connection.execute(f"EXPLAIN QUERY PLAN {sqlite_raw.CLAIM}", (10.0, 100))
    plan = " ".join(step[3] for step in steps)
    assert "INDEX waiting" in plan
    assert "TEMP B-TREE" not in plan
    connection.close()
