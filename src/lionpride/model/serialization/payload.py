"""The halves of an event that a durable store keeps as text, each in a column of its own.

``packed`` is what the event was asked to do: written once, read at each claim. ``packed_result``
is what came of it. Identity, time of creation and the counters are columns of the store's, which
gives them back as they are. For stores; users have ``to_dict`` and ``to_json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from math import isfinite
from types import NoneType
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary

from pydantic import AliasChoices
from pydantic_core import PydanticSerializationError, to_json

from ...errors import ValidationError
from .. import registry
from ..construction import set_fields_set
from ..event_data import Work
from ..execution import Execution, read_error
from ..unset import Unset
from .class_metadata import take_marks
from .codec import Encoder, decode, error_to_dict, safe_repr
from .default_values import completed, constants_of, is_same
from .depth import refuse_deep
from .round_trip import refuse_unreadable

__all__ = (
    "complete",
    "kind_and_packed",
    "packed",
    "packed_result",
    "unpack",
    "unpack_result",
    "whole",
)

_COLUMNS: Final = ("id", "created_at", "execution")


def packed(work: Work) -> str:
    """``work.to_dict("json")`` without what the store has columns for, as compact JSON.

    What nearly every event says is left out, if it says so: no metadata but its class, no
    timeout, no streaming. See ``whole``. So is a field that holds a constant default, which an
    event that is read gets from its class.
    """
    return kind_and_packed(work)[1]


def whole(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """What ``packed`` gave, with what it left out of it.

    Args:
        kind: The registry key of its class.
        data: The JSON.
    """
    if "metadata" in data:
        return data
    return {"metadata": {"lion_class": kind}, "timeout": None, "streaming": False, **data}


def complete(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the result of ``packed`` with everything that it left out, as in ``to_dict("json")``.

    If this process has not defined the class, fields that held their default stay absent.
    """
    data = whole(kind, data)
    return completed(registry.find(kind), data) if registry.is_defined(kind) else data


def _abridged(data: dict[str, Any]) -> str:
    """As text, without what ``whole`` puts back."""
    usual = data.get("timeout", Unset) is None and data.get("streaming") is False
    if usual and len(data["metadata"]) == 1:  # it has the class alone
        del data["metadata"], data["timeout"], data["streaming"]
    return _text(data)


def kind_and_packed(work: Work) -> tuple[str, str]:
    """The registry key of its class, and what ``packed`` gives."""
    plainly = work._plainly
    quick = plainly.packed(work, _abridged)
    if quick is not None:
        if plainly.has_doubts:
            refuse_unreadable(work, quick[1], _read_back)
        return quick
    try:
        return plainly.key, _checked(work)
    except (RecursionError, PydanticSerializationError) as error:
        refuse_deep(work, error)
        raise


def _checked(work: Work) -> str:
    """Return what ``packed`` gives, after reading it back.

    Raises:
        ValidationError: names the field that would be read back with another value.
    """
    data = work.to_dict("json")
    for name in _COLUMNS:
        data.pop(name, None)
    own = work.__dict__
    for name, one in constants_of(type(work)).items():
        if name in own and is_same(own[name], one.value):
            data.pop(name, None)
    text = json.dumps(data, separators=(",", ":"))
    if '"$repr"' in text:
        refuse_deep(work)
    refuse_unreadable(work, text, _read_back)
    return text


def _read_back(kind: type[Work], text: str) -> Work:
    """Return the event that a worker would make of a text."""
    return _revived(kind, whole(registry.key_of(kind), _read(text)))


def unpack(
    text: str,
    *,
    kind: str,
    id: UUID,  # noqa: A002
    created: float,
    entries: Mapping[str, Any],
) -> Work:
    """The event that ``packed`` was asked of, in its class.

    Args:
        text: What ``packed`` gave.
        kind: The registry key of its class.
        id: Its identity.
        created: When it was made, as a Unix timestamp in seconds.
        entries: Its state, under the names of ``execution.KEYS``; they are not looked at.

    Raises:
        NotFoundError: if this process has not defined its class.
        ValidationError: if its class is no Work; pydantic's own if a field does not fit.
        ValueError: if it is no JSON.
    """
    data = whole(kind, _read(text))
    meta = data["metadata"]
    if not isinstance(meta, dict):
        raise ValidationError(f"metadata must be a JSON object, not {safe_repr(meta)}")
    key: Any = meta.get("lion_class")
    cls = registry.find(key)
    if not issubclass(cls, Work):
        raise ValidationError(f"{key} is no Work: a store holds events only")
    work = _revived(cls, data)
    if absent := constants_of(cls).keys() - data.keys():  # written in full they would be set
        set_fields_set(work, work.model_fields_set | absent)
    own = work.__dict__
    own.pop("created_at", None)  # of now, if code that ran meanwhile has asked for it
    own["_created"] = created
    own["id"] = id
    own.update(entries)
    return work


def _revived(kind: type[Work], data: dict[str, Any]) -> Work:
    """Return an event of a class and of all that was written of it, with its metadata."""
    meta = data.pop("metadata")
    _, tagged = take_marks(meta)
    if tagged:
        data, meta = kind._decoded(data), decode(meta)
    work = kind._from_data(_as_validation_names_it(kind, data), {})
    if meta:
        work.__dict__["_metadata"] = meta
    return work


def _as_validation_names_it(kind: type[Work], data: dict[str, Any]) -> dict[str, Any]:
    """The data by the names that validation wants, where fields are written by others."""
    names = _renamed.get(kind)
    if names is None:
        names = _names_of(kind)
        if kind.__pydantic_complete__:
            _renamed[kind] = names
    return {names.get(name, name): value for name, value in data.items()} if names else data


_renamed: WeakKeyDictionary[type[Work], dict[str, str]] = WeakKeyDictionary()


def _names_of(kind: type[Work]) -> dict[str, str]:
    """What fields with aliases are written by, and what validation wants instead."""
    config, names = kind.model_config, {}
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


def packed_result(execution: Execution, tell: Callable[[str], object] | None = None) -> str | None:
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


def unpack_result(text: str) -> dict[str, Any]:
    """The entries ``_response`` and ``_error`` of what ``packed_result`` was asked of.

    Raises:
        ValidationError: if they cannot be read.
        ValueError: if it is no JSON.
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
"""How the simplest responses are written; None if the codec has to tag one."""


def _text(data: dict[str, Any]) -> str:
    """Compact JSON of what the codec gave."""
    try:
        return to_json(data).decode()
    except ValueError:  # lone surrogates and deep nesting, which the slower one can write
        return json.dumps(data, separators=(",", ":"), default=safe_repr)


def _read(text: str) -> dict[str, Any]:
    data = json.loads(text)  # pydantic 2.7's from_json reads some texts wrong
    if not isinstance(data, dict):
        raise ValidationError(f"what a store kept must be a JSON object, not {safe_repr(data)}")
    return data
