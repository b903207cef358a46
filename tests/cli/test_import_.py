"""`lionpride import`: out of one store and into another, the same; all or nothing."""

import asyncio
import json

import pytest
from cli.sample_store import EVENTS, Deed, Deeds, fill
from cli.texts import plain
from kept import KEPT, url_of

from lionpride.cli import main
from lionpride.cli.commands import import_
from lionpride.cli.store.location import locate_store


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def exported(capsys, store, *options):
    capsys.readouterr()
    assert main(["export", store, *options]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("to", KEPT)
@pytest.mark.parametrize("kind", KEPT)
def test_out_and_in_and_out_gives_the_same_lines(here, capsys, monkeypatch, kind, to, snapshot):
    monkeypatch.setattr(import_, "PAGE", 4)
    run, copy = (url_of(each, here, name) for each, name in ((kind, "run"), (to, "copy")))
    fill(run, "a", "b")
    text = exported(capsys, run)
    (here / "all.jsonl").write_text(text)
    assert main(["import", "all.jsonl", copy]) == 0
    out, err = capsys.readouterr()
    assert plain(out, copy=locate_store(copy).name) == snapshot
    assert err == ""
    assert exported(capsys, copy) == text


def test_what_was_imported_runs(here, capsys, kept):
    fill("first.db")
    (here / "all.jsonl").write_text(exported(capsys, "first.db"))
    assert main(["import", "all.jsonl", kept]) == 0

    async def run():
        desk = Deeds(store=kept, queue="deeds")
        async with desk:
            await desk.join()
            return desk.failed_events[0].size

    assert asyncio.run(run()) == 9


def test_what_is_known_is_refused_and_nothing_taken_in(here, capsys, kept):
    fill("first.db", "a", "b")
    (here / "all.jsonl").write_text(exported(capsys, "first.db"))
    (here / "one.jsonl").write_text(exported(capsys, "first.db", "--queue", "b"))
    assert main(["import", "one.jsonl", kept, "--queue", "c"]) == 0
    assert main(["import", "all.jsonl", kept]) == 1
    err = capsys.readouterr().err
    assert f"line {EVENTS + 1}: id " in err
    assert f"is known in queue 'c' of {locate_store(kept).name}: nothing was imported" in err
    assert len(exported(capsys, kept).splitlines()) == EVENTS
    assert main(["import", "all.jsonl", kept, "--exist-ok"]) == 0
    assert f"6 events imported into {locate_store(kept).name}" in (out := capsys.readouterr().out)
    assert "; 6 were there already" in out
    assert main(["import", "all.jsonl", kept, "--exist-ok"]) == 0
    assert capsys.readouterr().out == (
        f"0 events imported into {locate_store(kept).name}; 12 were there already\n"
    )


def test_a_bad_line_takes_in_nothing_and_makes_no_file(here, capsys, snapshot):
    fill("run.db")
    (here / "all.jsonl").write_text(exported(capsys, "run.db") + "oops\n")
    assert main(["import", "all.jsonl", "copy.db"]) == 1
    said = capsys.readouterr().err
    assert "line 7" in said
    assert plain(said) == snapshot
    assert not list(here.glob("copy.db*"))


def test_what_was_running_waits_again(here, capsys, snapshot):
    fill("run.db")
    data = json.loads(exported(capsys, "run.db").splitlines()[-1])
    data["status"] = data["payload"]["execution"]["status"] = "processing"
    (here / "one.jsonl").write_text(json.dumps(data))
    assert main(["import", "one.jsonl", "copy.db"]) == 0
    assert capsys.readouterr().out == snapshot
    again = json.loads(exported(capsys, "copy.db"))
    assert (again["status"], again["interruptions"]) == ("pending", 1)


@pytest.mark.parametrize("indent", [None, 1])
def test_a_flow_is_taken_in(here, capsys, indent, snapshot):
    async def flow():
        desk = Deeds()
        await desk.append_many([Deed(how="skip"), Deed()])
        await desk.forward()
        await desk.append(Deed(size=3), 1.5)
        return desk.states.to_dict("json")

    data = asyncio.run(flow())
    (here / "flow.json").write_text(json.dumps(data, indent=indent))
    assert main(["import", "flow.json", "run.db", "--queue", "q"]) == 0
    out, _err = capsys.readouterr()
    assert out == snapshot
    found = [json.loads(line) for line in exported(capsys, "run.db").splitlines()]
    assert [each["id"] for each in found] == [item["id"] for item in data["items"]]
    assert {each["queue"] for each in found} == {"q"}
    assert found[-1]["priority"] == 1.5


def test_standard_input_is_a_file_as_well(place):
    fill(place.path / "run.db")
    text = place.run("export", "run.db").stdout
    done = place.run("import", "-", "copy.db", stdin=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert place.run("export", "copy.db").stdout == text


@pytest.mark.parametrize(
    ("file", "store", "words"),
    [
        ("none.jsonl", "copy.db", "cannot be read"),
        (".", "copy.db", "cannot be read"),
        ("run.db", "run.db", "is the store itself"),
        ("empty", "copy.db", "is empty"),
        ("all.jsonl", "all.jsonl", "is the store itself"),
        ("all.jsonl", "empty.txt", "is no SQLite database"),
        ("all.jsonl", "http://x", "write the path of a file"),
    ],
)
def test_what_cannot_be_done(here, capsys, file, store, words):
    fill("run.db")
    (here / "empty").touch()
    (here / "empty.txt").write_text("x")
    (here / "all.jsonl").write_text(exported(capsys, "run.db"))
    assert main(["import", file, store]) == 2
    assert words in capsys.readouterr().err
    assert not (here / "copy.db").exists()


def test_an_import_that_is_cut_off_is_gone_on_with(here, capsys, monkeypatch):
    monkeypatch.setattr(import_, "PAGE", 4)
    fill("run.db", "a")
    text = exported(capsys, "run.db")
    (here / "all.jsonl").write_text(text)
    take, times = import_._Import._take, []

    async def cut_off(self, queue, batch):
        times.append(len(batch))
        if len(times) == 2:
            raise KeyboardInterrupt
        await take(self, queue, batch)

    monkeypatch.setattr(import_._Import, "_take", cut_off)
    assert main(["import", "all.jsonl", "copy.db"]) == 130
    monkeypatch.setattr(import_._Import, "_take", take)
    assert len(exported(capsys, "copy.db").splitlines()) == 4
    assert main(["import", "all.jsonl", "copy.db", "--exist-ok"]) == 0
    assert exported(capsys, "copy.db") == text
