"""Display of an event's own fields, without secrets."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from ..drawing.text import one_line
from ..errors import LionprideError
from ..model import registry
from ..model.serialization.class_metadata import HIDDEN, hidden_fields
from ..stores.record import Record
from ..stores.schedule_record import ScheduleRecord
from .plain_json import plain_json

__all__ = [
    "HIDDEN_TEXT",
    "STANDARD_ENTRIES",
    "AnyRecord",
    "fields_of",
    "first_hidden",
    "hidden_names",
    "hide_secrets",
    "label_of",
    "readable_json",
    "redacted",
    "summary_of",
]

AnyRecord = TypeVar("AnyRecord", Record, ScheduleRecord)

HIDDEN_TEXT: Final = "••••••"

STANDARD_ENTRIES: Final = ("id", "created_at", "metadata", "execution")
"""Entries of a payload that are not the event's own fields."""

_SECRET: Final = ("$secret", "$secretbytes")
_HIDDEN_VALUE: Final = {"$hidden": True}
_MAX_LENGTH: Final = 20_000  # characters of one value that are shown


def fields_of(record: Record) -> dict[str, str]:
    """Return the fields of an event as text, with secrets hidden."""
    hidden = hidden_names(record)
    return {
        name: HIDDEN_TEXT if name in hidden else readable_json(value)
        for name, value in record.payload.items()
        if name not in STANDARD_ENTRIES
    }


def label_of(record: Record) -> str:
    """Return a name for an event in one line: the first text among its own visible fields."""
    hidden = hidden_names(record)
    for name, value in record.payload.items():
        if isinstance(value, str) and value and name not in STANDARD_ENTRIES and name not in hidden:
            return one_line(value[:400])
    return ""


def summary_of(record: Record) -> str:
    """Return an event's own fields in one line."""
    shown = fields_of(record).items()
    omitted = "timeout", "streaming"
    values = [(k, v) for k, v in shown if k not in omitted and v not in ("null", HIDDEN_TEXT)]
    return " ".join(f"{name}={value}" for name, value in values)


def readable_json(value: Any) -> str:
    """Return a value as JSON without secrets; on several lines if it is long, and bounded."""
    clean = redacted(value)
    if clean == HIDDEN_TEXT:
        return HIDDEN_TEXT
    clean = plain_json(clean)
    text = json.dumps(clean, ensure_ascii=False)
    if len(text) > 72:
        text = json.dumps(clean, ensure_ascii=False, indent=2)
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}… ({len(text):,} characters)"


def redacted(value: Any, instead: Any = HIDDEN_TEXT) -> Any:
    """Return JSON data with `instead` in place of every value that is tagged as a secret."""
    if isinstance(value, Mapping):
        if len(value) == 1 and not value.keys().isdisjoint(_SECRET):
            return instead
        metadata = value.get("metadata")
        names = metadata.get(HIDDEN) if isinstance(metadata, Mapping) else None
        hidden = names if isinstance(names, list) else ()  # of an element inside this one
        return {
            name: instead if name in hidden else redacted(item, instead)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [redacted(item, instead) for item in value]
    return value


def hide_secrets(record: AnyRecord) -> AnyRecord:
    """Return a record with ``{"$hidden": true}`` in place of each secret; itself if it has none.

    The record is that of an event, or of a schedule.
    """
    hidden, payload = hidden_names(record), record.payload
    own = {
        name: _HIDDEN_VALUE if name in hidden else redacted(payload[name], _HIDDEN_VALUE)
        for name in payload
    }
    return record if own == payload else replace(record, payload=own)


def first_hidden(value: Any, path: str) -> str | None:
    """Return the path of the first value that ``hide_secrets`` replaced; None if there is none."""
    if isinstance(value, Mapping):
        if value == _HIDDEN_VALUE:
            return path
        items = [(f"{path}.{name}", item) for name, item in value.items()]
    elif isinstance(value, list):
        items = [(f"{path}[{i}]", item) for i, item in enumerate(value)]
    else:
        return None
    return next((found for at, item in items if (found := first_hidden(item, at))), None)


def hidden_names(record: Record | ScheduleRecord) -> Collection[str]:
    """Return the hidden fields, by the record, and by the class if it is defined here."""
    metadata = record.payload.get("metadata") or {}
    listed = metadata.get(HIDDEN) if isinstance(metadata, Mapping) else None
    names = {str(each) for each in listed} if isinstance(listed, list) else set()
    try:
        return names.union(hidden_fields(registry.find(record.kind)))
    except LionprideError:
        return names
