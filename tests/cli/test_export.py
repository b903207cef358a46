"""`lionpride export`: all events, complete or not at all."""

import json
import stat

import pytest
from cli.sample_store import EVENTS, fill

from lionpride.cli import main
from lionpride.cli.commands import export
from lionpride.cli.store.location import locate_store


@pytest.fixture
def store(kept):
    fill(kept, "a", "b")
    return kept


def test_every_event_is_a_line_queue_by_queue(store, capsys, monkeypatch):
    monkeypatch.setattr(export, "AT_ONCE", 4)
    assert main(["export", store]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["queue"] for each in found] == ["a"] * EVENTS + ["b"] * EVENTS
    assert "number" not in found[0]
    assert main(["export", store, "--queue", "b"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == found[EVENTS:]


def test_a_file_is_replaced_at_the_end(store, tmp_path, capsys):
    target = tmp_path / "all.jsonl"
    target.write_text("old\n")
    target.chmod(0o600)
    assert main(["export", store, "-o", str(target)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{2 * EVENTS} events of {locate_store(store).name} written to {target}" in err
    assert len(target.read_text().splitlines()) == 2 * EVENTS
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_new_file_can_be_read_by_its_owner_alone(store, tmp_path, capsys):
    target = tmp_path / "all.jsonl"
    assert main(["export", store, "-o", str(target)]) == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_what_fails_leaves_the_file_alone(store, tmp_path, capsys, monkeypatch):
    target = tmp_path / "all.jsonl"
    target.write_text("old\n")
    monkeypatch.setattr(export, "exported", lambda record: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["export", store, "-o", str(target)])
    assert target.read_text() == "old\n"
    assert {path.name for path in tmp_path.iterdir()} <= {"all.jsonl", "run.db", "run.db-turn"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("run.db", "is the store itself"),
        (".", "is a directory"),
        ("no/where.jsonl", "cannot be written"),
    ],
)
def test_where_it_cannot_go(tmp_path, capsys, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    fill(store := "run.db")
    assert main(["export", store, "-o", name]) == 2
    assert words in capsys.readouterr().err
    assert main(["counts", store]) == 0
