"""Events of a Flow as records, without their classes."""

import json

import pytest
from cli.sample_store import Deed, Deeds

from lionpride.cli.transfer.flows import flow_records, is_flow, own_progressions
from lionpride.core import Flow, Progression
from lionpride.errors import ValidationError


async def flow():
    desk = Deeds()
    await desk.append_many([Deed(), Deed(how="raise"), Deed(how="skip")])
    await desk.forward()
    last = await desk.append(Deed(size=9), priority=7.5)
    desk.states.add_progression(Progression(name="mine", order=[last.id]))
    return desk, json.loads(json.dumps(desk.states.to_dict("json")))


async def test_every_event_has_its_record():
    desk, data = await flow()
    assert is_flow(data)
    records = list(flow_records(data, None))
    assert [record.id for record in records] == [event.id for event in desk.states.items]
    assert [r.status.value for r in records] == ["completed", "failed", "skipped", "pending"]
    assert {record.queue for record in records} == {"cli.sample_store.Deed"}
    assert records[-1].priority == 7.5
    for record, event in zip(records, desk.states.items, strict=True):
        assert record.event().to_dict("json") == event.to_dict("json")
    assert {record.queue for record in flow_records(data, "q")} == {"q"}
    assert own_progressions(data) == ["mine"]


async def test_free_events_get_the_priority_that_an_append_would_give():
    event = Deed()
    data = json.loads(json.dumps(Flow(items=[event]).to_dict("json")))
    (record,) = flow_records(data, None)
    assert record.priority == pytest.approx(event.created_timestamp, abs=1e-6)
    assert record.payload["execution"]["priority"] == record.priority


async def test_the_layout_of_the_original_is_read():
    _, data = await flow()
    nested = {**data, "items": {"items": data["items"]}}
    for item in nested["items"]["items"]:
        item["execution"]["duration"] = item["execution"].get("duration")
        item["node_metadata"] = item.pop("metadata")
    assert len(list(flow_records(nested, None))) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metadata": {}}, "metadata.lion_class"),
        ({"execution": None}, "execution: is required"),
        ({"execution": {"status": "odd"}}, "execution.status"),
        ({"id": "x"}, "id: must be"),
        ({"created_at": "then"}, "payload.created_at"),
    ],
)
async def test_what_is_no_event_is_named(change, words):
    _, data = await flow()
    data["items"][1] |= change
    with pytest.raises(ValidationError, match=rf"item 2: .*{words}"):
        list(flow_records(data, "q"))


async def test_several_classes_need_the_name_of_a_queue():
    _, data = await flow()
    data["items"][0]["metadata"]["lion_class"] = "other.Thing"
    with pytest.raises(ValidationError, match="--queue"):
        list(flow_records(data, None))
    assert len(list(flow_records(data, "q"))) == 4


@pytest.mark.parametrize("data", [{"items": 3}, {"items": {"a": 1}}])
def test_items_that_are_none(data):
    with pytest.raises(ValidationError, match="items: must be a list"):
        list(flow_records(data, "q"))
