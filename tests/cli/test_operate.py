"""Commands of operators: bulk `retry` and `cancel`, `pause`, `resume` and `prune`."""

import json

import pytest
from cli.sample_store import fill

from lionpride.cli import main
from lionpride.cli.caller import caller


@pytest.fixture
def store(kept):
    return kept


def said(capsys, *words):
    """Run a command that succeeds, and return its lines."""
    capsys.readouterr()
    assert main([*words]) == 0
    return capsys.readouterr().out.splitlines()


def objects(capsys, *words):
    return [json.loads(line) for line in said(capsys, *words, "--json")]


def test_all_events_that_match_are_retried_and_who_did_it_is_kept(store, capsys):
    ids = fill(store, "a", "b")
    failed = {ids["a", "failed"][0], ids["b", "failed"][0]}
    assert said(capsys, "retry", store, "--status", "failed", "--dry-run") == [
        "2 events would be pending again"
    ]
    found = objects(
        capsys, "retry", store, "--kind", "cli.sample_store.Deed", "--status", "failed", "--yes"
    )
    assert {each["id"] for each in found} == failed
    assert {(each["was"], each["answer"]) for each in found} == {("failed", "done")}
    shown = objects(capsys, "show", store, *failed)
    assert [[a["what"], a["by"]] for each in shown for a in each["actions"]] == [
        ["retry", caller()]
    ] * 2
    assert said(capsys, "retry", store, "--status", "failed", "--yes") == [
        "0 events are pending again"
    ]


def test_all_events_that_match_are_cancelled_and_it_is_shown_by_whom(store, capsys):
    ids = fill(store, "a", "b")
    (waits,) = ids["a", "pending"]
    counted = objects(capsys, "cancel", store, "--status", "pending", "--dry-run")
    assert counted == [{"queue": q, "matching": 1, "pending": 1} for q in ("a", "b")]
    (line,) = said(capsys, "cancel", store, "--status", "pending", "--queue", "a", "--yes")
    assert line.startswith("1 event is cancelled")
    assert f"(by {caller()})" in "".join(said(capsys, "ls", store, "--status", "cancelled"))
    assert f"cancel by {caller()}, " in "".join(said(capsys, "show", store, waits))
    assert f"cancel by {caller()}, " in "".join(said(capsys, "why", store, waits))


def test_without_a_terminal_it_has_to_be_confirmed_by_an_option(store, capsys):
    fill(store)
    assert main(["cancel", store, "--status", "pending"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert main(["prune", store]) == 2
    assert "add --yes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cancel",), "give the ids of events, or a filter"),
        (("cancel", "aaaa", "--status", "pending"), "ids of events, or a filter, but not both"),
        (("retry", "--kind", "Dead", "--yes"), "no event is of this class: did you mean Deed? "),
        (("cancel", "--status", "failed"), "give one of pending, processing"),
        (("retry", "--blocked"), "give one of aborted, cancelled, failed"),
        (("retry", "aaaa", "--dry-run"), "--dry-run needs a filter"),
    ],
)
def test_what_makes_no_sense_is_refused(store, capsys, words, message):
    fill(store)
    assert main([words[0], store, *words[1:]]) == 2
    assert message in capsys.readouterr().err


def test_numbers_bound_what_is_changed(store, capsys):
    fill(store, "a", "b")
    numbers = [each["number"] for each in objects(capsys, "ls", store, "--status", "pending")]
    newest, oldest = numbers
    above = objects(capsys, "cancel", store, "--status", "pending", "--after", str(oldest), "--yes")
    assert len(above) == 1
    left = [each["number"] for each in objects(capsys, "ls", store, "--status", "pending")]
    assert left == [oldest]
    below = said(
        capsys, "cancel", store, "--status", "pending", "--before", str(oldest), "--dry-run"
    )
    assert below == ["0 events would be cancelled, or their workers were asked to"]
    assert newest > oldest


def test_a_queue_or_all_are_paused_and_resumed(store, capsys):
    fill(store, "a", "b")
    (paused,) = objects(capsys, "pause", store, "--queue", "a")
    assert (paused["queue"], paused["paused"]["by"]) == ("a", caller())
    counted = {each["queue"]: each["paused"] for each in objects(capsys, "counts", store)}
    assert counted["a"] == paused["paused"]
    assert counted["b"] is None
    assert any("queue a is paused, by" in line for line in said(capsys, "counts", store))
    lines = said(capsys, "pause", store)
    assert [line.partition(":")[0] for line in lines] == ["a", "b"]
    assert all(f"paused, by {caller()}" in line for line in lines)
    (line,) = said(capsys, "resume", store, "--queue", "b")
    assert line.startswith(f"b: not paused; resumed by {caller()}, ")
    lines = said(capsys, "resume", store)
    assert [line.partition(";")[0] for line in lines] == ["a: not paused", "b: not paused"]


def test_finished_events_are_removed_by_status_and_age(store, capsys):
    ids = fill(store, "a")
    assert len(ids["a", "completed"]) == 2
    kept = "1 failed, 1 cancelled, 1 skipped left"
    words = ("prune", store, "--before", "1d")
    assert said(capsys, *words, "--yes") == [f"a: removed nothing; 2 completed, {kept}"]
    assert said(capsys, *words, "--dry-run") == ["a: would remove nothing"]
    counted = objects(capsys, "prune", store, "--dry-run")
    assert counted == [{"queue": "a", "matching": 3, "completed": 2, "failed": 1, "aborted": 0}]
    assert said(capsys, "prune", store, "--dry-run") == ["a: would remove 2 completed, 1 failed"]
    (done,) = objects(capsys, "prune", store, "--status", "completed", "--yes")
    assert (done["queue"], done["removed"]) == ("a", {"completed": 2})
    assert (done["left"]["completed"], done["left"]["failed"]) == (0, 1)
    assert said(capsys, "prune", store, "--before", "0s", "--yes") == [
        "a: removed 1 failed; 1 cancelled, 1 skipped left"
    ]


def test_a_queue_is_a_filter(store, capsys):
    fill(store, "a", "b")
    (line,) = said(capsys, "cancel", store, "--queue", "a", "--yes")
    assert line.startswith("1 event is cancelled")
    assert len(said(capsys, "ls", store, "--queue", "b", "--status", "pending", "--json")) == 1
    assert said(capsys, "retry", store, "--queue", "b", "--dry-run") == [
        "2 events would be pending again"
    ]


def test_a_class_may_be_named_without_its_module(store, capsys):
    fill(store, "a")
    for command, *words in (("ls", "--json"), ("cancel", "--dry-run"), ("retry", "--dry-run")):
        full = said(capsys, command, store, "--kind", "cli.sample_store.Deed", *words)
        assert said(capsys, command, store, "--kind", "Deed", *words) == full
    assert said(capsys, "ls", store, "--kind", "no.such", "--json") == []
    assert main(["ls", store, "--kind", "Dead"]) == 2
    assert "has cli.sample_store.Deed" in capsys.readouterr().err


def test_who_has_resumed_a_queue_is_kept_and_shown(store, capsys):
    fill(store, "a", "b")
    assert said(capsys, "resume", store) == ["a: not paused", "b: not paused"]
    said(capsys, "pause", store)
    (one,) = objects(capsys, "resume", store, "--queue", "a")
    assert (one["paused"], one["resumed"]["by"]) == (None, caller())
    for line in said(capsys, "resume", store):
        assert f": not paused; resumed by {caller()}, " in line
    for each in objects(capsys, "counts", store):
        assert (each["paused"], each["resumed"]["by"]) == (None, caller())
    (again,) = objects(capsys, "pause", store, "--queue", "a")
    assert (again["paused"]["by"], again["resumed"]) == (caller(), None)


def test_the_actions_of_events_are_exported_and_imported(store, capsys, tmp_path):
    ids = fill(store, "a")
    (waits,) = ids["a", "pending"]
    said(capsys, "cancel", store, waits)
    lines = said(capsys, "export", store)
    (tmp_path / "all.jsonl").write_text("\n".join(lines) + "\n")
    other = str(tmp_path / "other.db")
    assert main(["import", str(tmp_path / "all.jsonl"), other]) == 0
    (before,), (after,) = (
        objects(capsys, "show", store, waits),
        objects(capsys, "show", other, waits),
    )
    assert after["actions"] == before["actions"]
    assert [a["by"] for a in after["actions"]] == [caller()]
