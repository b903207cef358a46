"""The two texts that a durable store keeps of an event: its payload and its result.

The payload has the fields and the metadata. It is written by the append and read by each claim.
The result has the response and the error. Identity, creation time and counters have columns of
their own. This module is for stores; users call ``to_dict`` and ``to_json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from math import isfinite
from types import NoneType
from typing import Any, Final
from uuid import UUID

from pydantic import AliasChoices, BaseModel
from pydantic_core import PydanticSerializationError, to_json

from ...errors import ValidationError
from .. import registry
from ..class_traits import cached_by_class
from ..construction import set_fields_set
from ..event_data import EventData
from ..execution import Execution, read_error
from ..unset import Unset
from .class_metadata import take_marks
from .codec import Encoder, decode, error_to_dict, safe_repr
from .default_values import completed, constants_of, is_same
from .depth import refuse_deep
from .round_trip import refuse_unreadable

__all__ = (
    "complete_payload",
    "event_from_payload",
    "payload_of",
    "read_result",
    "result_text",
    "type_and_payload",
    "with_usual_fields",
)

_COLUMNS: Final = ("id", "created_at", "execution")


def payload_of(event: EventData) -> str:
    """Return the payload of an event as compact JSON.

    It is ``event.to_dict("json")`` without the values that have columns of their own. Metadata,
    ``timeout`` and ``streaming`` are omitted together if all three have their usual values; see
    ``with_usual_fields``. A field that holds a constant default is omitted, too: the class supplies
    it when the event is read.
    """
    return type_and_payload(event)[1]


def with_usual_fields(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return a payload with the usual values of metadata, ``timeout`` and ``streaming`` added.

    Args:
        kind: The registry key of the event's class.
        data: The payload.
    """
    if "metadata" in data:
        return data
    return {"metadata": {"lion_class": kind}, "timeout": None, "streaming": False, **data}


def complete_payload(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return a payload with everything that ``payload_of`` has omitted, as in ``to_dict("json")``.

    If this process has not defined the class, fields that held their default stay absent.
    """
    data = with_usual_fields(kind, data)
    return completed(registry.find(kind), data) if registry.is_defined(kind) else data


def _abridged(data: dict[str, Any]) -> str:
    """Return a payload as text, without the values that ``with_usual_fields`` adds."""
    usual = data.get("timeout", Unset) is None and data.get("streaming") is False
    if usual and len(data["metadata"]) == 1:  # the class, and nothing else
        del data["metadata"], data["timeout"], data["streaming"]
    return _text(data)


def type_and_payload(event: EventData) -> tuple[str, str]:
    """Return the registry key of the event's class, and its payload.

    Raises:
        ValidationError: if no worker could read the payload back with the same values.
    """
    fast_dump = event._fast_dump
    payload = fast_dump.payload_of(event, _abridged)
    if payload is not None:
        if fast_dump.has_doubts:
            refuse_unreadable(event, payload, _read_back)
        return fast_dump.key, payload
    try:
        return fast_dump.key, _checked(event)
    except (RecursionError, PydanticSerializationError) as error:
        refuse_deep(event, error)
        raise


def _checked(event: EventData) -> str:
    """Return the payload of an event after reading it back.

    Raises:
        ValidationError: names the field that would be read back with another value.
    """
    data = event.to_dict("json")
    for name in _COLUMNS:
        data.pop(name, None)
    own = event.__dict__
    for name, one in constants_of(type(event)).items():
        if name in own and is_same(own[name], one.value):
            data.pop(name, None)
    text = json.dumps(data, separators=(",", ":"))
    if '"$repr"' in text:
        refuse_deep(event)
    refuse_unreadable(event, text, _read_back)
    return text


def _read_back(kind: type[EventData], text: str) -> EventData:
    """Return the event that a worker would build from a payload."""
    return _revived(kind, with_usual_fields(registry.key_of(kind), _read(text)))


def event_from_payload(
    text: str,
    *,
    kind: str,
    id: UUID,  # noqa: A002
    created: float,
    entries: Mapping[str, Any],
) -> EventData:
    """Return the event of a payload.

    Args:
        text: The payload.
        kind: The registry key of the class.
        id: The id.
        created: The creation time, a Unix timestamp in seconds.
        entries: The state, by the names of ``execution.KEYS``; it is not validated.

    Raises:
        NotFoundError: if this process has not defined the class.
        ValidationError: if the class is not a class of events; pydantic's own if a field does not
            fit.
        ValueError: if the payload is not JSON.
    """
    data = with_usual_fields(kind, _read(text))
    meta = data["metadata"]
    if not isinstance(meta, dict):
        raise ValidationError(f"metadata must be a JSON object, not {safe_repr(meta)}")
    key: Any = meta.get("lion_class")
    cls = registry.find(key)
    if not issubclass(cls, EventData):
        raise ValidationError(f"{key} is not a class of events: a store keeps events only")
    event = _revived(cls, data)
    if absent := constants_of(cls).keys() - data.keys():  # omitted fields count as given
        set_fields_set(event, event.model_fields_set | absent)
    own = event.__dict__
    own.pop("created_at", None)  # a validator may have read it, which set it to now
    own["_created"] = created
    own["id"] = id
    own.update(entries)
    return event


def _revived(kind: type[EventData], data: dict[str, Any]) -> EventData:
    """Return the event of a class and a complete payload."""
    meta = data.pop("metadata")
    _, tagged = take_marks(meta)
    if tagged:
        data, meta = kind._decoded(data), decode(meta)
    names = _validation_names(kind)
    if names:
        data = {names.get(name, name): value for name, value in data.items()}
    event = kind._from_data(data, {})
    if meta:
        event.__dict__["_metadata"] = meta
    return event


@cached_by_class
def _validation_names(kind: type[BaseModel]) -> dict[str, str]:
    """Return the names that validation expects in place of the written names of fields."""
    config, names = kind.model_config, dict[str, str]()
    for name, field in kind.model_fields.items():
        wanted = field.validation_alias
        if isinstance(wanted, AliasChoices):
            wanted = next((each for each in wanted.choices if isinstance(each, str)), None)
        written = field.serialization_alias if config.get("serialize_by_alias") else None
        if isinstance(wanted, str) and config.get("validate_by_alias") is not False:
            names[written or name] = wanted
        elif written is not None:
            names[written] = name
    return names


def result_text(execution: Execution, tell: Callable[[str], object] | None = None) -> str | None:
    """Return the response and the error of an event as compact JSON; None if it has neither.

    Args:
        execution: The state of the event.
        tell: Called with the reason if a part of the response cannot be written.
    """
    own = execution.own
    response, error = own.get("_response", Unset), own.get("_error", Unset)
    if error is Unset:
        if response is Unset:
            return None
        write = _QUICK.get(type(response))
        if write is not None and (quick := write(response)):
            return f'{{"response":{quick}}}'
    data: dict[str, Any] = {}
    if response is not Unset:
        encoder = Encoder()
        data["response"] = encoder.encode(response)
        if encoder.lost is not None and tell is not None:
            tell(encoder.lost)
    if error is not Unset:
        data["error"] = None if error is None else error_to_dict(error)
    return _text(data)


def read_result(text: str) -> dict[str, Any]:
    """Return the entries ``_response`` and ``_error`` of a result.

    Raises:
        ValidationError: if they cannot be read.
        ValueError: if the text is not JSON.
    """
    data = _read(text)
    entries: dict[str, Any] = {}
    if "response" in data:
        entries["_response"] = decode(data["response"])
    if "error" in data:
        error = data["error"]
        entries["_error"] = None if error is None else read_error(error)
    return entries


_QUICK: Final[Mapping[type, Callable[[Any], str | None]]] = {
    NoneType: lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: lambda value: repr(value) if -(2**63) <= value < 2**63 else None,
    float: lambda value: repr(value) if isfinite(value) else None,
    str: encode_basestring_ascii,
}
"""Functions that write the simplest responses; they return None if a value needs a tag."""


def _text(data: dict[str, Any]) -> str:
    """Return encoded data as compact JSON."""
    try:
        return to_json(data).decode()
    except ValueError:  # json can write lone surrogates and deep nesting
        return json.dumps(data, separators=(",", ":"), default=safe_repr)


def _read(text: str) -> dict[str, Any]:
    data = json.loads(text)  # from_json of pydantic 2.7 misreads some texts
    if not isinstance(data, dict):
        raise ValidationError(
            f"a stored payload or result must be a JSON object, not {safe_repr(data)}"
        )
    return data
