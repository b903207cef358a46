"""`lionpride cancel`: what waits is cancelled, what has ended stays."""

import json

from cli.sample_store import fill

from lionpride.cli import main


def statuses(capsys, store):
    assert main(["ls", store, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {each["id"]: each["status"] for each in found}


def test_what_waits_is_cancelled(kept, capsys):
    store, ids = kept, fill(kept, "a", "b")
    (waits,) = ids["b", "pending"]
    assert main(["cancel", store, waits[:13]]) == 0
    assert capsys.readouterr().out == f"{waits}  cancelled\n"
    assert statuses(capsys, store)[waits] == "cancelled"


def test_the_error_of_an_event_does_not_name_a_call_that_was_not_made(kept, capsys):
    store, ids = kept, fill(kept)
    (waits,) = ids["deeds", "pending"]
    assert main(["cancel", store, waits]) == 0
    capsys.readouterr()
    assert main(["show", store, waits]) == 0
    assert "EventCancelledError: cancelled on request while it waited" in capsys.readouterr().out


def test_what_has_ended_is_told_and_the_rest_is_done(kept, capsys):
    store, ids = kept, fill(kept)
    (waits,), (failed,) = ids["deeds", "pending"], ids["deeds", "failed"]
    assert main(["cancel", store, failed, waits, "--json"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["id"], each["answer"]) for each in found] == [
        (failed, "settled"),
        (waits, "done"),
    ]
    assert statuses(capsys, store)[failed] == "failed"


def test_nothing_is_cancelled_if_one_is_not_there(kept, capsys):
    store, ids = kept, fill(kept)
    (waits,) = ids["deeds", "pending"]
    assert main(["cancel", store, waits, "00000000-0000-0000-0000-000000000000"]) == 1
    capsys.readouterr()
    assert statuses(capsys, store)[waits] == "pending"
