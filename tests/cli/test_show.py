"""`lionpride show`: all that is on record of an event."""

import asyncio
import json

from cli.shelves import fill

from lionpride.cli import main
from lionpride.core import Event, Executor, Processor
from lionpride.stores.sqlite import SqliteStore


def test_an_event_is_shown_with_its_fields_and_what_came_of_it(tmp_path, capsys):
    ids = fill(tmp_path / "run.db", "a", "b")
    (failed,) = ids["b", "failed"]
    assert main(["show", str(tmp_path / "run.db"), failed]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = {line.split(None, 1)[0]: line.split(None, 1)[-1] for line in lines}
    assert said["id"] == failed
    assert said["queue"] == "b"
    assert said["status"] == "failed"
    assert said["error"] == "ValueError: told"
    assert f"{chr(32) * 12}to [31mfail" in lines
    assert said[".how"] == '"raise"'
    assert (said["attempt"], said["tries"]) == ("1", "1")
    assert "response" not in said
    assert said["created"].endswith("UTC")


def test_a_long_response_is_indented_below_its_name(tmp_path, capsys):
    ids = fill(tmp_path / "run.db")
    assert main(["show", str(tmp_path / "run.db"), *ids["deeds", "completed"]]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    for each in (first, second):
        assert 'response    {\n              "how": "return",' in each
        assert "$bytes" in each


def test_json_is_the_record(tmp_path, capsys):
    ids = fill(tmp_path / "run.db")
    (pending,) = ids["deeds", "pending"]
    assert main(["show", str(tmp_path / "run.db"), pending, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["id"], record["priority"], record["status"]) == (pending, 2.5, "pending")
    assert record["payload"]["size"] == 9


class Reading(Event):
    streaming: bool = True
    pages: int = 2

    async def _stream(self):
        for page in range(self.pages):
            yield page
            self.progress(0.5, "half \x1b[31mof it")
        if self.pages == 2:
            await asyncio.sleep(1000)


class Readings(Processor):
    event_type = Reading


class Desk(Executor):
    processor_type = Readings


async def shown_while_it_runs(path, *options):
    """What a process of its own is shown of an event that this one runs, and of one that ended."""
    desk = Desk(store=f"sqlite:///{path}")
    async with desk:
        event, ended = await desk.append_many([Reading(), Reading(pages=3)])
        await desk.result(ended)
        other = SqliteStore(path, desk.store.queue)
        while not (await other.get([event.id]))[0].chunks:
            await asyncio.sleep(0.01)
        await other.close()
        code = await asyncio.to_thread(main, ["show", str(path), str(event.id), *options])
        code += await asyncio.to_thread(main, ["show", str(path), str(ended.id), *options])
        await desk.cancel(event)
    return code


def test_what_runs_says_how_far_it_is(tmp_path, capsys):
    assert asyncio.run(shown_while_it_runs(tmp_path / "run.db")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(None, 1)[1] for line in lines if line.startswith("status")] == [
        "processing",
        "completed",
    ]
    assert [line for line in lines if line.startswith("progress")] == [
        "progress    50% half [31mof it"
    ]
    assert [line.split() for line in lines if line.startswith("chunks")] == [
        ["chunks", "2"],
        ["chunks", "3"],
    ]


def test_json_of_what_runs_has_it_too(tmp_path, capsys):
    assert asyncio.run(shown_while_it_runs(tmp_path / "run.db", "--json")) == 0
    running, ended = map(json.loads, capsys.readouterr().out.splitlines())
    assert running["progress"] == {"fraction": 0.5, "note": "half \x1b[31mof it"}
    assert running["chunks"] == 2
    assert "progress" not in ended


def test_an_id_that_is_not_there(tmp_path, capsys):
    fill(tmp_path / "run.db")
    assert main(["show", str(tmp_path / "run.db"), "00000000-0000-0000-0000-000000000000"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "no event of this id in" in err
