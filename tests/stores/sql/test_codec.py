"""Events of a claim are made from their rows, where that is the quick way; the others are named."""

from typing import Any
from uuid import uuid4

from stores.makers import Job

from lionpride.core import EventStatus
from lionpride.model import registry
from lionpride.model.serialization.payload import type_and_payload
from lionpride.stores.sql.codec import read_started


def row_of(job: Job, number: int, **other: Any) -> Any:
    kind, payload = type_and_payload(job)
    uid = job.id.bytes
    columns = {"kind": kind, "payload": payload} | other
    return (number, 2.5, uid, columns["kind"], 7.0, columns["payload"], None, None)


def test_what_is_new_here_is_made_and_runs() -> None:
    job = Job(label="one")
    made, rest = read_started([row_of(job, 4)], [None])
    assert rest == []
    (event,) = made.values()
    assert isinstance(event, Job)
    assert (event.id, event.label, event.created_timestamp) == (job.id, "one", 7.0)
    state = event.execution
    assert (state.status, state.attempt) == (EventStatus.PROCESSING, 1)
    assert (state.arrival, state.priority) == (4, 2.5)


def test_what_is_known_or_takes_more_is_left() -> None:
    known, new = Job(label="known"), Job(label="new")
    rows = [
        row_of(known, 1),
        row_of(Job(), 2, kind=f"nobody.{uuid4().hex}"),
        row_of(Job(), 3, payload="{"),
        row_of(new, 4),
    ]
    made, rest = read_started(rows, [known, None, None, None])
    assert list(made) == [4]
    assert [one[0] for one in rest] == [1, 2, 3]
    assert registry.key_of(Job) == rows[3][3]
