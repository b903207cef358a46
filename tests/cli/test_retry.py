"""`lionpride retry`: what did not complete waits again; all that is named, or none of it."""

import json

import pytest
from cli.sample_store import fill

from lionpride.cli import main


@pytest.fixture
def store(kept):
    return kept


def statuses(capsys, store):
    capsys.readouterr()
    assert main(["ls", store, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {each["id"]: each["status"] for each in found}


def test_named_ones_in_several_queues(store, capsys):
    ids = fill(store, "a", "b")
    names = [ids["a", "failed"][0], ids["b", "cancelled"][0]]
    assert main(["retry", store, *names]) == 0
    assert capsys.readouterr().out == "2 events are pending again\n"
    assert [statuses(capsys, store)[name] for name in names] == ["pending"] * 2


def test_all_of_a_status_or_those_of_one_queue(store, capsys):
    ids = fill(store, "a", "b", "c")
    assert main(["retry", store, "--status", "failed", "--queue", "b", "--yes"]) == 0
    assert capsys.readouterr().out == "1 event is pending again\n"
    assert main(["retry", store, "--status", "failed", "--json", "--yes"]) == 0
    sent = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["id"] for each in sent] == [*ids["a", "failed"], *ids["c", "failed"]]
    assert {each["was"] for each in sent} == {"failed"}
    assert main(["retry", store, "--status", "failed", "--yes"]) == 0
    assert capsys.readouterr().out == "0 events are pending again\n"


def test_nothing_is_changed_if_one_cannot_be(store, capsys):
    ids = fill(store)
    failed, completed = ids["deeds", "failed"][0], ids["deeds", "completed"][0]
    assert main(["retry", store, failed, completed]) == 1
    assert f"{completed} is completed: only aborted or" in capsys.readouterr().err
    assert statuses(capsys, store)[failed] == "failed"


@pytest.mark.parametrize("more", [(), ("aaaa", "--status", "failed")])
def test_either_names_or_a_status(store, capsys, more):
    fill(store)
    assert main(["retry", store, *more]) == 2
    assert "give the ids of events" in capsys.readouterr().err
