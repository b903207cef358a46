"""`lionpride counts`: a row for each queue, and one for all."""

import json

from cli.sample_store import fill

from lionpride.cli import main


def test_one_queue_has_one_row(kept, capsys, snapshot):
    fill(kept)
    assert main(["counts", kept]) == 0
    assert capsys.readouterr().out == snapshot


def test_several_are_added_up(kept, capsys):
    fill(kept, "a", "b")
    assert main(["counts", kept]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["queue", "a", "b", "all"]
    assert rows[-1][1:] == ["2", "0", "4", "2", "2", "2", "0"]
    assert main(["counts", kept, "--queue", "b"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_json_has_an_object_for_each_queue(kept, capsys):
    fill(kept, "a", "b")
    assert main(["counts", kept, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each.pop("queue") for each in found] == ["a", "b"]
    assert found[0] == found[1]
    assert (found[0]["completed"], found[0]["aborted"]) == (2, 0)
