"""The events of a Flow that was written with `to_dict`, as records; no user code is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...core import EventStatus, Execution
from ...errors import ValidationError
from ...stores.record import Record
from ...view.records import created_of
from .records import COUNTERS, read_record

__all__ = ["flow_records", "is_flow", "own_progressions"]


def is_flow(data: Any) -> bool:
    """Return True if data is the result of ``Flow.to_dict``, also of the original package."""
    return isinstance(data, Mapping) and "items" in data and "payload" not in data


def own_progressions(flow: Mapping[str, Any]) -> list[str]:
    """The names of the progressions that are no status: a store has no place for them."""
    names = [
        str(each.get("name") or "without a name")
        for each in _members(flow.get("progressions") or [])
        if isinstance(each, Mapping)
    ]
    return [name for name in names if name not in set(EventStatus)]


def flow_records(flow: Mapping[str, Any], queue: str | None) -> Iterator[Record]:
    """The records of its events, in their order.

    Args:
        flow: The data.
        queue: Where they belong; by default to the queue that is named after their class.

    Raises:
        ValidationError: names the item and the field; or if there are several classes, so that
            ``queue`` has to be given.
    """
    kinds = set()
    for number, item in enumerate(_members(flow["items"]), 1):
        try:
            record = _record(item, queue)
        except ValidationError as error:
            raise ValidationError(f"item {number}: {error}") from error
        kinds.add(record.kind)
        if queue is None and len(kinds) > 1:
            raise ValidationError(
                f"the flow holds events of {' and '.join(sorted(kinds))}: name their queue "
                "with --queue"
            )
        yield record


def _members(pile: Any) -> list[Any]:
    """The members of a pile, which the original package nests."""
    while isinstance(pile, Mapping):
        pile = pile.get("items")
    if not isinstance(pile, list):
        raise ValidationError("items: must be a list of events")
    return pile


def _record(item: Any, queue: str | None) -> Record:
    if not isinstance(item, Mapping):
        raise ValidationError(f"must be an object, not {type(item).__name__}")
    payload = dict(item)
    if "node_metadata" in payload:
        payload["metadata"] = payload.pop("node_metadata")
    meta = payload.get("metadata")
    kind = meta.get("lion_class") if isinstance(meta, Mapping) else None
    if not isinstance(kind, str) or not kind:
        raise ValidationError("metadata.lion_class: is required: it names the event's class")
    state = payload.get("execution")
    if not isinstance(state, Mapping):
        raise ValidationError("execution: is required and not there, so it is no event")
    made = created_of(payload)
    execution = Execution.from_dict(state, encoded=True)
    if execution.priority is None:
        execution.priority = made.timestamp()
    head = {"id": payload.pop("id", None), "created_at": made.isoformat()}
    payload |= {**head, "execution": execution.to_dict("json")}
    return read_record(
        {
            "id": payload["id"],
            "queue": queue or kind,
            "kind": kind,
            "status": execution.status.value,
            "priority": execution.priority,
            "due": None if execution.is_blocked else execution.due,
            **{name: getattr(execution, name) for name in COUNTERS},
            "key": None,
            "costs": {},
            "payload": payload,
        }
    )
