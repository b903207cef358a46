"""`lionpride why`: what holds the events of a store."""

import json

from cli.sample_store import fill, while_it_runs
from cli.texts import plain

from lionpride.cli import main


def test_what_holds_an_event_is_a_line_each(kept, capsys, snapshot):
    ids = fill(kept)
    (pending,) = ids["deeds", "pending"]
    assert main(["why", pending, "--store", kept]) == 0
    said = capsys.readouterr().out
    assert pending in said
    assert len(said.splitlines()) == 3
    assert plain(said) == snapshot


def test_several_may_be_asked_for_also_by_how_they_begin(kept, capsys):
    ids = fill(kept)
    (pending,), (failed,) = ids["deeds", "pending"], ids["deeds", "failed"]
    assert main(["why", pending[:36], failed, "--store", kept]) == 0
    one, other = capsys.readouterr().out.split("\n\n")
    assert pending in one
    assert other.splitlines()[1:] == ["- it has finished: failed"]


def test_json_is_the_value(kept, capsys):
    ids = fill(kept)
    (pending,) = ids["deeds", "pending"]
    assert main(["why", pending, "--json", "--store", kept]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["id"], said["status"], said["position"]) == (pending, "pending", 1)
    assert [hold["kind"] for hold in said["holds"]] == ["no worker"]
    assert said["expected"] is None


def test_what_runs_names_its_worker(kept, capsys):
    assert while_it_runs(kept, lambda db, running, _: main(["why", running, "--store", db])) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("- worker ")
    assert line.endswith(" has it, attempt 1")


def test_an_id_that_is_not_there_is_said(kept, capsys):
    fill(kept)
    assert main(["why", "0" * 32, "--store", kept]) == 1
    assert "no event of this id" in capsys.readouterr().err


def test_the_store_must_be_named(capsys):
    assert main(["why", "1234"]) == 2
    assert "--store" in capsys.readouterr().err
