"""`lionpride schedules`: what recurs, when, and changes of it."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from cli.texts import plain
from engine.firing import fire
from kept import KEPT, url_of
from pydantic import SecretStr

from lionpride import Cron, Event, Every, Executor, Schedule
from lionpride.cli import main
from lionpride.cli.store.location import locate_store

START = datetime(2020, 1, 1, tzinfo=UTC)


class Report(Event):
    team: str = "all"
    token: SecretStr = SecretStr("")

    async def _invoke(self):
        return self.team


class Sweep(Event, schedules={"sweep": Schedule(Every(300), overlap="skip")}):
    async def _invoke(self):
        return None


def with_executor(store, work, queue="reports", kinds=(Report,)):
    """Return what ``work(executor)`` returns."""

    async def run():
        executor = Executor.of(*kinds, store=locate_store(store).url, queue=queue)
        try:
            return await work(executor)
        finally:
            await executor.store.close()

    return asyncio.run(run())


def fill(store, queue="reports"):
    """Make three schedules, one of them paused."""

    async def make(executor):
        await executor.schedule(
            "nightly",
            Report(team="a", token=SecretStr("hush")),
            Cron("30 2 * * *", tz="Europe/Berlin"),
            jitter=60,
            ttl=3600,
        )
        await executor.schedule("yearly", Report(), Cron("0 0 1 1 *"))
        await executor.schedule("hourly", Report(), Every(3600))
        await executor.schedules.pause("hourly")

    with_executor(store, make, queue)


@pytest.fixture
def store(kept):
    fill(kept)
    return kept


@pytest.fixture
def out(capsys):
    """Runs a command, and returns what it has printed."""

    def run(*words, code=0):
        assert main(["schedules", *words]) == code
        out, err = capsys.readouterr()
        return err if code else out

    return run


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def events(capsys, store):
    assert main(["ls", store, "--json"]) == 0
    return lines(capsys.readouterr().out)


def test_schedules_are_listed(store, out, snapshot):
    assert plain(out(store)) == snapshot


def test_schedules_are_listed_as_json_without_secrets(store, out):
    found = {each["name"]: each for each in lines(out(store, "--json"))}
    assert {name: each["state"] for name, each in found.items()} == {
        "hourly": "paused",
        "nightly": "active",
        "yearly": "active",
    }
    nightly = found["nightly"]
    assert nightly["queue"] == "reports"
    assert nightly["payload"]["team"] == "a"
    assert nightly["payload"]["token"] == {"$hidden": True}
    assert nightly["schedule"] == {
        "rule": {"cron": "30 2 * * *", "tz": "Europe/Berlin"},
        "jitter": 60,
        "ttl": 3600,
    }
    assert found["hourly"]["next"] is None


def test_a_store_without_schedules_says_how_there_is_one(kept, out):
    async def nothing(executor):
        await executor.append(Report())

    with_executor(kept, nothing)
    assert "executor.schedule(name, event, rule) makes one" in out(kept)
    assert "no schedule is active" in out(kept, "next")
    assert out(kept, "--json") == ""


def test_the_next_instants(store, out):
    found = lines(out(store, "next", "--json", "--count", "4"))
    assert len(found) == 4
    assert [each["at"] for each in found] == sorted(each["at"] for each in found)
    (one, two) = lines(out(store, "next", "yearly", "--count", "2", "--json"))
    assert one["name"] == "yearly"
    assert one["local"].endswith("-01-01T00:00:00+00:00")
    assert int(two["local"][:4]) == int(one["local"][:4]) + 1
    (night,) = lines(out(store, "next", "nightly", "--count", "1", "--json"))
    local = datetime.fromisoformat(night["local"])
    assert local.timestamp() == night["at"]
    assert (local.hour, local.minute) in {(2, 30), (3, 0)}
    table = out(store, "next", "yearly", "hourly").splitlines()
    assert table[0].split("  ")[0] == "time (UTC)"
    assert len(table) == 11
    assert table[1].split()[-2:] == ["yearly", "reports"]


def test_pause_and_resume(store, out):
    assert out(store, "pause", "nightly", "yearly") == "nightly: paused\nyearly: paused\n"
    assert {each["state"] for each in lines(out(store, "--json"))} == {"paused"}
    assert out(store, "resume", "nightly").startswith("nightly: next at 20")
    (resumed,) = lines(out(store, "resume", "hourly", "--json"))
    assert (resumed["name"], resumed["state"]) == ("hourly", "active")
    assert resumed["next"] % 3600 == 0


def test_control_characters_of_a_name_are_not_printed(kept, out):
    name = "a\n\x1b[31m b"

    async def make(executor):
        await executor.schedule(name, Report(), Every(3600))

    with_executor(kept, make)
    assert out(kept, "pause", name) == "a [31m b: paused\n"
    assert out(kept, "pause", "c", code=1).endswith("it has a [31m b\n")
    assert "\x1b" not in out(kept)


def test_run_appends_an_event_now(store, out, capsys):
    said = out(store, "run", "nightly")
    (event,) = events(capsys, store)
    assert said == f"nightly: appended {event['id']}\n"
    assert event["payload"]["team"] == "a"


def test_backfill_appends_what_is_missing(store, out, capsys):
    span = ("--start", "2020-01-01T00:00", "--end", "2020-01-03T12:00")
    assert out(store, "backfill", "nightly", *span) == "nightly: appended 3 events\n"
    (again,) = lines(out(store, "backfill", "nightly", *span, "--json"))
    assert again == {"queue": "reports", "name": "nightly", "ids": []}
    marks = [each["payload"]["metadata"]["lion_schedule"] for each in events(capsys, store)]
    assert {mark["name"] for mark in marks} == {"nightly"}
    first = datetime(2020, 1, 1, 1, 30, tzinfo=UTC).timestamp()
    assert sorted(mark["at"] for mark in marks) == [first + 86_400 * day for day in range(3)]
    (until_now,) = lines(out(store, "backfill", "hourly", "--start", "2h", "--json"))
    assert len(until_now["ids"]) == 2


def test_remove(store, out):
    assert out(store, "remove", "yearly", "hourly") == "yearly: removed\nhourly: removed\n"
    assert [each["name"] for each in lines(out(store, "--json"))] == ["nightly"]


def test_a_schedule_that_no_live_worker_declares(kept, out):
    async def start(executor):
        async with executor:
            while True:  # no caller waits for the commit that registers a worker
                listed = await asyncio.to_thread(out, kept, "--json")
                if lines(listed)[0]["state"] == "active":
                    return await asyncio.to_thread(out, kept, "remove", "sweep")
                await asyncio.sleep(0.05)

    async def declare(executor):
        async with executor:
            pass

    assert with_executor(kept, start, "sweeps", (Sweep,)) == (
        "sweep: removed; a worker that declares it makes it again at its start\n"
    )
    with_executor(kept, declare, "sweeps", (Sweep,))
    assert lines(out(kept, "--json"))[0]["state"] == "undeclared"
    assert "overlap=skip" in out(kept)


def test_a_skipped_instant_is_shown_with_its_reason(kept, out):
    async def skip(executor):
        await executor.schedule("often", Report(), Every(1), overlap="skip")
        await executor.schedules.run("often")
        while (await executor.schedules.get("often")).skipped is None:
            await asyncio.sleep(0.1)
            await fire(executor)

    with_executor(kept, skip)
    assert "the event before has not finished" in out(kept)


def test_one_name_in_two_queues(store, out):
    fill(store, "other")
    assert "'nightly' is in the queues reports, other: name one with --queue" in out(
        store, "pause", "nightly", code=2
    )
    assert out(store, "pause", "nightly", "--queue", "other") == "nightly: paused\n"
    states = {(each["queue"], each["name"]): each["state"] for each in lines(out(store, "--json"))}
    assert states["other", "nightly"] == "paused"
    assert states["reports", "nightly"] == "active"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["pause"], 2, "pause: give the name of a schedule"),
        (["backfill", "nightly"], 2, "backfill: give the first instant, as --start 7d"),
        (["pause", "nightly", "--count", "3"], 2, "--count is an option of next"),
        (["next", "--end", "1d"], 2, "--end is an option of backfill"),
        (["pause", "nightly", "weekly"], 1, "'weekly': "),
        (["pause", "weekly"], 1, "has no schedule of this name; it has hourly, nightly, yearly"),
        (["backfill", "nightly", "--start", "1d", "--end", "2d"], 1, "in this order"),
    ],
)
def test_what_is_refused_changes_nothing(tmp_path, out, words, code, message):
    store = str(tmp_path / "run.db")
    fill(store)
    before = out(store, "--json")
    assert message in out(store, *words, code=code)
    assert out(store, "--json") == before


# -- show, export and import -----------------------------------------------------------------------


def exported(capsys, store, *options):
    capsys.readouterr()
    assert main(["export", store, *options]) == 0
    return capsys.readouterr().out


def listed(out, store):
    return [
        {name: value for name, value in each.items() if name != "is_declared"}
        for each in lines(out(store, "--json"))
    ]


def test_show_has_the_schedule_of_an_event_and_its_instant(store, out, capsys):
    out(store, "backfill", "nightly", "--start", "2020-01-01", "--end", "2020-01-02")
    (event,) = events(capsys, store)
    assert main(["show", store, event["id"]]) == 0
    fields = [line.split(None, 1) for line in capsys.readouterr().out.splitlines()]
    assert ["schedule", "nightly, for 2020-01-01 01:30:00 UTC"] in fields


@pytest.mark.parametrize("to", KEPT)
def test_out_and_in_and_out_gives_the_same_schedules(store, to, tmp_path, out, capsys):
    out(store, "backfill", "nightly", "--start", "2020-01-01", "--end", "2020-01-02")
    out(store, "run", "yearly")
    copy = url_of(to, tmp_path, "copy")
    text = exported(capsys, store, "--reveal")
    assert [set(each) & {"status", "schedule"} for each in lines(text)] == [
        *[{"status"}] * 2,
        *[{"schedule"}] * 3,
    ]
    (file := tmp_path / "all.jsonl").write_text(text)
    assert main(["import", str(file), copy]) == 0
    assert "2 events and 3 schedules imported into" in capsys.readouterr().out
    assert exported(capsys, copy, "--reveal") == text
    assert listed(out, copy) == listed(out, store)
    backfilled = out(copy, "backfill", "nightly", "--start", "2020-01-01", "--end", "2020-01-02")
    assert backfilled == "nightly: appended 0 events\n"


def test_schedules_alone_are_exported_and_imported(store, tmp_path, out, capsys):
    target = tmp_path / "all.jsonl"
    assert main(["export", store, "--reveal", "-o", str(target)]) == 0
    assert "0 events and 3 schedules of " in capsys.readouterr().err
    copy = str(tmp_path / "copy.db")
    assert main(["import", str(target), copy, "--queue", "other"]) == 0
    assert "0 events and 3 schedules imported" in capsys.readouterr().out
    assert {each["queue"] for each in listed(out, copy)} == {"other"}


def test_a_known_schedule_is_refused_and_nothing_imported(store, tmp_path, out, capsys):
    (file := tmp_path / "all.jsonl").write_text(exported(capsys, store, "--reveal"))
    out(store, "remove", "yearly")
    before = listed(out, store)
    assert main(["import", str(file), store]) == 1
    err = capsys.readouterr().err
    assert "line 1: queue 'reports' of " in err
    assert "has a schedule 'hourly': nothing was imported; --exist-ok skips" in err
    assert listed(out, store) == before
    assert main(["import", str(file), store, "--exist-ok"]) == 0
    said = capsys.readouterr().out
    assert "0 events and 1 schedule imported into " in said
    assert "; 2 were there already" in said
    assert len(listed(out, store)) == 3


def test_a_hidden_secret_of_a_schedule_is_refused(store, tmp_path, capsys):
    capsys.readouterr()
    assert main(["export", store]) == 0
    text, err = capsys.readouterr()
    assert "lionpride: 3 schedules have secrets, which are hidden in the export" in err
    assert "hush" not in text
    (file := tmp_path / "all.jsonl").write_text(text)
    assert main(["import", str(file), str(tmp_path / "copy.db")]) == 1
    assert "payload.token: is hidden: export the schedule again" in capsys.readouterr().err


def bad(line, **changes):
    return json.dumps(line | changes)


def test_bad_schedules_are_named_and_nothing_is_made(store, tmp_path, capsys):
    first, second, _ = lines(exported(capsys, store, "--reveal"))
    rule = {"rule": {"cron": "61 * * * *", "tz": "UTC"}}
    file = tmp_path / "all.jsonl"
    file.write_text(
        "\n".join(
            [
                json.dumps(first),
                json.dumps(first),
                bad(second, schedule=rule),
                bad(second, next="soon"),
                bad(second, queue=5),
            ]
        )
    )
    assert main(["import", str(file), str(tmp_path / "copy.db")]) == 1
    err = capsys.readouterr().err
    assert "line 2: schedule 'hourly' of queue 'reports' is also the one of line 1" in err
    assert "line 3: Cron: '61 * * * *' is no cron expression" in err
    assert "line 4: the record of schedule 'nightly' cannot be read" in err
    assert "line 5: queue: must be a name, not 5" in err
    assert not (tmp_path / "copy.db").exists()


def test_the_limit_of_the_executor_of_a_target_holds(store, out, tmp_path, monkeypatch):
    name = f"of_{tmp_path.name}.py"
    (tmp_path / name).write_text(
        "from cli.test_schedules import Report\n"
        "from lionpride import Executor\n"
        "reports = Executor.of(Report, queue='reports', max_queue_size=1)\n"
    )
    monkeypatch.chdir(tmp_path)
    target = ("--target", name)
    out(store, "run", "nightly", *target)
    assert "max_queue_size" in out(store, "run", "nightly", *target, code=1)
    past = ("backfill", "nightly", "--start", "2020-01-01", "--end", "2020-01-03")
    assert "max_queue_size" in out(store, *past, *target, code=1)
    assert "appended 2 events" in out(store, *past)
    assert "is an option of run and backfill" in out(store, "pause", "nightly", *target, code=2)
