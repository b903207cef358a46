"""`lionpride show`: all that is on record of an event."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from cli.sample_store import Deed, Deeds, fill, while_it_runs
from pydantic import Field, SecretStr

from lionpride.cli import main
from lionpride.cli.store.location import locate_store
from lionpride.cli.transfer.records import read_record
from lionpride.core import Event, Executor, Processor, Retry
from lionpride.errors import ValidationError


def test_an_event_is_shown_with_its_fields_and_what_came_of_it(kept, capsys):
    ids = fill(kept, "a", "b")
    (failed,) = ids["b", "failed"]
    assert main(["show", kept, failed]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = {line.split(None, 1)[0]: line.split(None, 1)[-1] for line in lines}
    assert said["id"] == failed
    assert said["queue"] == "b"
    assert said["status"] == "failed"
    assert said["error"] == "ValueError: told"
    assert f"{chr(32) * 12}to [31mfail" in lines
    assert said[".how"] == '"raise"'
    assert (said["attempts"], said["failures"]) == ("1", "1")
    assert "response" not in said
    assert said["created"].endswith("UTC")


def test_a_response_is_shown_as_plain_json(kept, capsys):
    ids = fill(kept)
    assert main(["show", kept, *ids["deeds", "completed"]]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    for each in (first, second):
        assert 'response    {"how": "return", "bytes": "AA==", "nested": [1, [2, 3]]}' in each


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (1, "1"),
        (-1.0, "-1"),
        (2.5, "2.5"),
        (1e6, "1000000"),
        (None, "default (the time of creation)"),
    ],
)
def test_a_priority_is_shown_as_it_was_given(kept, capsys, given, shown):
    async def append() -> str:
        desk = Deeds(store=locate_store(kept).url, queue="deeds")
        event = await desk.append(Deed(), priority=given)
        await desk.store.close()
        return str(event.id)

    uid = asyncio.run(append())
    assert main(["show", kept, uid]) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if each.startswith("priority")]
    assert line.split(None, 1)[1] == shown


def test_json_is_the_record(kept, capsys):
    ids = fill(kept)
    (pending,) = ids["deeds", "pending"]
    assert main(["show", kept, pending, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["id"], record["priority"], record["status"]) == (pending, 2.5, "pending")
    assert record["payload"]["size"] == 9


class Rich(Event):
    at: datetime
    pair: tuple[int, str]
    names: dict[int, str]
    token: SecretStr = SecretStr("s3cret")

    async def _invoke(self):
        return {"at": self.at, 1: (self.pair, {2**70}), "$set": timedelta(minutes=90)}


class RichProcessor(Processor):
    event_type = Rich


class Riches(Executor):
    processor_type = RichProcessor


def test_json_is_plain_and_an_export_can_be_read_back(kept, capsys):
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)

    async def run() -> str:
        desk = Riches(store=locate_store(kept).url, queue="riches")
        async with desk:
            event = await desk.append(Rich(at=at, pair=(1, "a"), names={1: "one"}))
            await desk.join()
        return str(event.id)

    uid = asyncio.run(run())
    for command in (["show", kept, uid, "--json", "--reveal"], ["ls", kept, "--json", "--reveal"]):
        assert main(command) == 0
        line = capsys.readouterr().out
        payload = json.loads(line)["payload"]
        assert "$" not in line.replace("$set", "")
        assert (payload["at"], payload["pair"]) == (at.isoformat(), [1, "a"])
        assert (payload["names"], payload["token"]) == ({"1": "one"}, "s3cret")
        assert payload["execution"]["response"] == {
            "at": at.isoformat(),
            "1": [[1, "a"], [2**70]],
            "$set": "PT1H30M",
        }
        record = json.loads(line)
        with pytest.raises(
            ValidationError, match=r"number: .*import what `lionpride export` writes"
        ):
            read_record(record)
    assert main(["show", kept, uid]) == 0
    text = capsys.readouterr().out
    assert "$" not in text.replace("$set", "")
    assert (
        'response    {\n              "at": "2026' in text
    )  # a long value has a line for each item
    assert main(["export", kept, "--reveal"]) == 0
    exported = read_record(json.loads(capsys.readouterr().out)).event()
    assert isinstance(exported, Rich)
    assert (exported.at, exported.pair, exported.names) == (at, (1, "a"), {1: "one"})
    assert isinstance(exported.response, dict)
    assert exported.response[1] == ((1, "a"), {2**70})


def show(path, running, ended, *options):
    return main(["show", path, running, *options]) + main(["show", path, ended, *options])


def test_what_runs_says_how_far_it_is(kept, capsys):
    assert while_it_runs(kept, show) == 0
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


def test_json_of_what_runs_has_it_too(kept, capsys):
    assert while_it_runs(kept, lambda *ids: show(*ids, "--json")) == 0
    running, ended = map(json.loads, capsys.readouterr().out.splitlines())
    assert running["progress"] == {"fraction": 0.5, "note": "half \x1b[31mof it"}
    assert running["chunks"] == 2
    assert "progress" not in ended


class Flaky(Event):
    retry = Retry(attempts=2, backoff=0.0)

    async def _invoke(self):
        raise ValueError("told\nto \x1b[31mfail")


class Late(Flaky):
    async def _invoke(self):
        if self.execution.attempt_number < 3:
            raise ValueError("too early")


class Flakies(Processor):
    event_type = Flaky


class Desk(Executor):
    processor_type = Flakies


async def on_terms(url):
    """Make a store with an event that failed twice, and one that waits; their ids."""
    desk = Desk(store=url)
    failed = await desk.append(Flaky(), retry=Retry(attempts=2, backoff=0.0, on=ValueError))
    async with desk:
        await desk.join()
    waits = await desk.append(Flaky(), at=4e9, ttl=3e9, unique="daily")
    await desk.store.close()
    return str(failed.id), str(waits.id)


def test_a_success_at_the_third_attempt_is_shown_as_3_attempts(kept, capsys):
    async def run() -> str:
        desk = Desk(store=kept)
        event = await desk.append(Late(), retry=Retry(max_attempts=4, backoff=0.0))
        async with desk:
            await desk.join()
        assert (event.execution.attempt_number, event.execution.failure_count) == (3, 2)
        await desk.store.close()
        return str(event.id)

    uid = asyncio.run(run())
    assert main(["show", kept, uid]) == 0
    said = dict(re.findall(r"^(\w+) +(.*)$", capsys.readouterr().out, re.MULTILINE))
    assert (said["attempts"], said["failures"]) == ("3", "2")
    assert main(["ls", kept]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    end = heading.index("attempts") + len("attempts")
    assert row[:end].split()[-1] == "3", "it is aligned to the right"
    assert main(["show", kept, uid, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["attempt_number"], record["failure_count"]) == (3, 2)
    assert not record.keys() & {"attempt", "tries"}


def test_it_shows_each_attempt_that_failed_and_what_was_asked(kept, capsys):
    failed, waits = asyncio.run(on_terms(kept))
    assert main(["show", kept, failed]) == 0
    out = capsys.readouterr().out
    told = r" +attempt \d, \d{4}-\d\d-\d\d [\d:]{8} UTC, [<\d.]+ \w+: ValueError: told to .31mfail"
    assert re.search(rf"failed{told}\n{told}\n", out), out
    assert re.search(r'retry +max_attempts 2, backoff 0, on \["builtins.ValueError"\]', out)
    trace = out.partition("\ntraceback   ")[2].splitlines()
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[1].endswith("in Flaky._invoke")
    assert trace[3].strip() == "ValueError"
    assert main(["show", kept, waits]) == 0
    out = capsys.readouterr().out
    assert re.search(r"due +2096-10-02 07:06:40 UTC\n", out)
    assert re.search(r"expires +2121-\d\d", out)
    assert re.search(r"unique +daily since 20\d\d-", out)


def test_an_export_and_an_import_keep_them(kept, tmp_path, capsys):
    failed, waits = asyncio.run(on_terms(kept))
    one, other = kept, str(tmp_path / "other.db")
    assert main(["export", one, "--output", str(tmp_path / "all.jsonl")]) == 0
    assert main(["import", str(tmp_path / "all.jsonl"), other]) == 0
    capsys.readouterr()
    for uid in (failed, waits):
        for path in (one, other):
            assert main(["show", path, uid, "--json"]) == 0
        before, after = map(json.loads, capsys.readouterr().out.splitlines())
        assert before["payload"] == after["payload"]
    assert len(json.loads(json.dumps(before["payload"]["execution"]["unique"]))) == 2


def test_an_id_that_is_not_there(kept, capsys):
    fill(kept)
    assert main(["show", kept, "00000000-0000-0000-0000-000000000000"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "no event of this id in" in err


class Login(Event):
    user: str = "ada"
    password: str = Field("one-secret", repr=False)
    token: SecretStr = SecretStr("two-secret")

    async def _invoke(self):
        return self.token


class LoginProcessor(Processor):
    event_type = Login


class LoginExecutor(Executor):
    processor_type = LoginProcessor


def store_of_a_login(tmp_path):
    url = f"sqlite:///{tmp_path}/run.db"

    async def log_in():
        async with LoginExecutor(store=url) as executor:
            login = await executor.append(Login())
            await executor.join()
            return str(login.id)

    return url, asyncio.run(log_in())


def secrets_in(text):
    return [each for each in ("one-secret", "two-secret") if each in text]


def test_secrets_are_hidden_unless_they_are_asked_for(tmp_path, capsys):
    url, uid = store_of_a_login(tmp_path)
    assert main(["show", url, uid]) == main(["ls", url]) == 0
    said = capsys.readouterr().out
    assert ("secret" in said, "ada" in said) == (False, True)
    assert main(["show", url, uid, "--reveal"]) == 0
    said = capsys.readouterr().out
    assert said.count("one-secret") == 1
    assert said.count("two-secret") == 2, "as a field, and as the response"


@pytest.mark.parametrize("command", ["show", "ls"])
def test_secrets_are_hidden_in_json_too(tmp_path, capsys, command):
    url, uid = store_of_a_login(tmp_path)
    words = [command, url, *([uid] if command == "show" else []), "--json"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert secrets_in(said) == []
    payload = json.loads(said)["payload"]
    assert (payload["password"], payload["token"]) == ({"$hidden": True}, {"$hidden": True})
    assert payload["execution"]["response"] == {"$hidden": True}
    assert payload["user"] == "ada"
    assert main([*words, "--reveal"]) == 0
    assert secrets_in(capsys.readouterr().out) == ["one-secret", "two-secret"]


def test_an_export_hides_secrets_and_an_import_refuses_what_is_hidden(tmp_path, capsys):
    url, _ = store_of_a_login(tmp_path)
    hidden, whole = tmp_path / "part.jsonl", tmp_path / "whole.jsonl"
    assert main(["export", url, "-o", str(hidden)]) == 0
    assert "1 event has secrets" in capsys.readouterr().err
    assert secrets_in(hidden.read_text()) == []
    assert main(["import", str(hidden), str(tmp_path / "new.db")]) == 1
    said = capsys.readouterr().err
    assert re.search(r"line 1: payload\.\S+: is hidden: export the event again with --reveal", said)
    assert not (tmp_path / "new.db").exists()
    assert main(["export", url, "-o", str(whole), "--reveal"]) == 0
    assert "hidden" not in capsys.readouterr().err
    assert main(["import", str(whole), str(tmp_path / "new.db")]) == 0


def test_an_event_is_named_by_its_arrival_number(tmp_path, capsys):
    url, uid = store_of_a_login(tmp_path)
    assert main(["show", url, "#1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == uid
    assert main(["show", url, "#2"]) == 1
    assert "#2: no event of this id" in capsys.readouterr().err
    assert main(["show", url, "#x"]) == 2
