"""Records as objects: out and back the same, and what is no record is named."""

import asyncio
import json

import pytest
from cli.sample_store import fill

from lionpride.cli.store.location import locate_store
from lionpride.cli.store.queues import StoreQueues
from lionpride.cli.transfer.records import exported, listed, read_record
from lionpride.core import EventStatus
from lionpride.errors import ValidationError
from lionpride.view.records import seconds_of

PENDING, PROCESSING = EventStatus.PENDING, EventStatus.PROCESSING


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "run.db"
    fill(path)

    async def read():
        async with StoreQueues(locate_store(str(path))) as queues:
            return [
                one
                for name in queues.names
                for one in await queues.of(name).list_records(limit=100)
            ]

    return asyncio.run(read())


def test_every_record_reads_back(records):
    for record in records:
        data = json.loads(json.dumps(exported(record)))
        again = read_record(data)
        assert exported(again) == exported(record)
        assert again.event().id == record.id
    assert {seconds_of(record) is None for record in records} == {True, False}


def test_a_listed_record_is_refused(records):
    with pytest.raises(ValidationError, match=r"^number: .*import what `lionpride export` writes"):
        read_record(listed(records[0]))


def test_another_queue_takes_the_place_of_its_own(records):
    assert read_record(exported(records[0]), "other").queue == "other"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "abc"),
        ("id", "00000000-0000-0000-0000-000000000000"),
        ("queue", ""),
        ("kind", None),
        ("status", "done"),
        ("status", "aborted"),
        ("priority", "1"),
        ("priority", float("nan")),
        ("priority", 3),
        ("due", "soon"),
        ("ended", "soon"),
        ("ended", float("inf")),
        ("failure_count", -1),
        ("failure_count", True),
        ("attempt_number", 7),
        ("key", 3),
        ("costs", [1]),
        ("payload", "{}"),
        ("surprise", 1),
    ],
)
def test_what_is_wrong_is_named(records, field, value):
    with pytest.raises(ValidationError, match=rf"^(payload\.)?{field}: "):
        read_record({**exported(records[0]), field: value})


def test_counters_are_read_under_their_former_names(records):
    for record in records:
        data = exported(record)
        former = {"attempt": data.pop("attempt_number"), "tries": data.pop("failure_count")}
        assert exported(read_record({**data, **former})) == exported(record)
    with pytest.raises(ValidationError, match="former name of failure_count: remove tries"):
        read_record({**exported(records[0]), "tries": 1})


@pytest.mark.parametrize("costs", [{"requests": 1}, {"requests": 1.0, "tokens": 2.5}, {}])
def test_costs_are_the_same_text_out_and_back(records, costs):
    data = {**exported(records[0]), "costs": costs}
    assert json.dumps(exported(read_record(data))) == json.dumps(data)


def test_the_time_of_ending_is_of_what_has_ended(records):
    for record in records:
        assert (record.ended is None) == (record.status in (PENDING, PROCESSING))
        assert read_record(exported(record)).ended == record.ended
        earlier = {name: value for name, value in exported(record).items() if name != "ended"}
        assert read_record(earlier).ended is None, "earlier versions did not write it"
    (waiting,) = [record for record in records if record.status is PENDING]
    with pytest.raises(ValidationError, match=r"^ended: must be null for what is pending"):
        read_record({**exported(waiting), "ended": 1.0})


@pytest.mark.parametrize("field", ["id", "queue", "priority", "due", "key", "payload"])
def test_what_is_missing_is_named(records, field):
    data = exported(records[0])
    del data[field]
    with pytest.raises(ValidationError, match=rf"^{field}: is required"):
        read_record(data)


@pytest.mark.parametrize("field", ["created_at", "execution"])
def test_what_is_missing_in_a_payload_is_named(records, field):
    data = exported(records[0])
    data["payload"] = {k: v for k, v in data["payload"].items() if k != field}
    with pytest.raises(ValidationError, match=rf"^payload\.{field}: is required"):
        read_record(data)
