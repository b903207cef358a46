"""Raw SQLite does the work that it is the mark for."""

import json
import uuid

import apsw
import pytest

from benchmarks import ceiling


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("n", [1, 99, 250])
def test_every_event_is_taken_in_claimed_and_settled_once(n, ordered, tmp_path) -> None:
    figures = ceiling.child(n, "flow", str(tmp_path), ordered)
    assert figures["ns"] > 0
    connection = apsw.Connection(str(tmp_path / "measured.db"))
    rows = list(connection.execute("SELECT status, attempt, result, id, payload FROM event"))
    assert len(rows) == n
    assert {row[:3] for row in rows} == {(2, 1, ceiling.RESULT)}
    assert all(json.loads(payload)["id"] == uid for *_, uid, payload in rows)
    counts = dict(connection.execute("SELECT status, events FROM count"))
    assert counts == {0: 0, 1: 0, 2: n}
    connection.close()


def test_it_is_as_durable_as_it_says(tmp_path) -> None:
    connection = ceiling.connect(str(tmp_path), "x")
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    connection.close()


def test_in_bulk_all_wait(tmp_path) -> None:
    ceiling.child(250, "bulk", str(tmp_path))
    connection = apsw.Connection(str(tmp_path / "measured.db"))
    assert dict(connection.execute("SELECT status, events FROM count")) == {0: 250, 1: 0, 2: 0}
    assert connection.execute("SELECT count(*) FROM event WHERE status = 0").get == 250
    connection.close()


def test_the_claim_uses_the_index_of_what_waits(tmp_path) -> None:
    connection = ceiling.connect(str(tmp_path), "x")
    steps = connection.execute(f"EXPLAIN QUERY PLAN {ceiling.CLAIM}", (10.0, 100))
    plan = " ".join(step[3] for step in steps)
    assert "INDEX waiting" in plan
    assert "TEMP B-TREE" not in plan
    connection.close()


def test_ids_in_order_of_time_are_in_order_and_well_formed() -> None:
    ids = [ceiling.in_order_of_time(number) for number in range(1_000)]
    assert ids == sorted(set(ids))
    assert all(uid.version == 7 and uid.variant == uuid.RFC_4122 for uid in ids)
