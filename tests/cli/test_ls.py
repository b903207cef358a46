"""`lionpride ls`: which events, in which order, and what is said of each."""

import json

import pytest
from cli.shelves import EVENTS, fill, while_it_runs

from lionpride.cli import ls, main


@pytest.fixture
def store(kept):
    fill(kept, "a", "b")
    return kept


def listed(capsys, *arguments):
    assert main(["ls", *arguments]) == 0
    return capsys.readouterr()


def test_all_queues_in_order_of_arrival(store, capsys):
    out, err = listed(capsys, store)
    heading, *rows = out.splitlines()
    assert heading.split() == [
        "number",
        "id",
        "queue",
        "kind",
        "about",
        "status",
        "created",
        "tries",
        "ran",
        "why",
    ]
    assert [int(row.split()[0]) for row in rows] == list(range(1, 2 * EVENTS + 1))
    assert err == ""


def test_what_went_wrong_is_said_and_cannot_harm_a_terminal(store, capsys):
    out, _ = listed(capsys, store, "--status", "failed", "--queue", "b")
    heading, row = out.splitlines()
    assert "queue" not in heading
    assert row.endswith("ValueError: told to [31mfail")


def test_a_limit_says_that_there_are_more(store, capsys, monkeypatch, snapshot):
    monkeypatch.setattr(ls, "PAGE", 2)
    out, err = listed(capsys, store, "--limit", "5", "--json")
    first = [json.loads(line)["number"] for line in out.splitlines()]
    assert first == [1, 2, 3, 4, 5]
    assert "--after 5" in err
    assert err == snapshot
    out, err = listed(capsys, store, "--after", "5", "--json")
    rest = [json.loads(line)["number"] for line in out.splitlines()]
    assert first + rest == list(range(1, 2 * EVENTS + 1))
    assert err == ""
    assert listed(capsys, store, "--limit", str(2 * EVENTS)).err == ""


@pytest.mark.parametrize(
    ("status", "count"), [("completed", 4), ("pending", 2), ("aborted", 0), ("skipped", 2)]
)
def test_one_status(store, capsys, status, count):
    out, _ = listed(capsys, store, "--status", status, "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert [each["status"] for each in found] == [status] * count
    assert all(each["payload"]["execution"]["status"] == status for each in found)


def test_what_runs_says_how_far_it_is(kept, capsys):
    assert while_it_runs(kept, lambda store, *_: main(["ls", store])) == 0
    running, ended = capsys.readouterr().out.splitlines()[1:]
    assert running.endswith("  50% half [31mof it 2 chunks")
    assert "chunks" not in ended


@pytest.mark.parametrize("option", [("--status", "done"), ("--limit", "0"), ("--after", "-1")])
def test_options_that_make_no_sense(store, capsys, option):
    with pytest.raises(SystemExit) as stop:
        main(["ls", store, *option])
    assert stop.value.code == 2
    assert option[0] in capsys.readouterr().err
