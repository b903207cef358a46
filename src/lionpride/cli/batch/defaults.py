"""``--set FIELD=VALUE``: what the fields of an event are where its line does not say."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, TypeAdapter
from pydantic import ValidationError as PydanticError

from ...core import Event
from ...drawing.text import one_line, shorten
from ..usage import UsageError
from .lines import TERMS, own_fields

__all__ = ["read_defaults"]


def read_defaults(event_type: type[Event], texts: Sequence[str]) -> Mapping[str, Any]:
    """The values of several ``FIELD=VALUE``, by field; the last one of a field counts.

    A value is taken as the text that it is, where the field accepts that; else as JSON.

    Raises:
        UsageError: if one has no ``=``, names no field, or the field does not take its value.
    """
    return dict(_read(event_type, text) for text in texts)


def _read(event_type: type[Event], text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--set {shorten(text, 60)}: write FIELD=VALUE, for example size=3")
    settable = [*own_fields(event_type), "streaming"]
    if name not in settable:
        close = difflib.get_close_matches(name, settable, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(settable)}"
        if name in ("id", "priority", *TERMS):
            hint = "each line of the input has its own"
        raise UsageError(f"--set {name}: is not a field of {event_type.__name__}: {hint}")
    return name, _value(event_type, name, value)


def _value(event_type: type[Event], name: str, text: str) -> Any:
    """The text, or what it is as JSON: the first that the field takes."""
    field = event_type.model_fields[name]
    config = ConfigDict(arbitrary_types_allowed=True)
    kind: Any = Annotated[field.annotation, field]  # with the field's own constraints
    check = TypeAdapter[Any](kind, config=config).validate_python
    try:
        check(text)
    except PydanticError as error:
        wrong = error
    else:
        return text
    try:
        value = json.loads(text)
        check(value)
    except (PydanticError, ValueError, RecursionError):
        said = one_line(str(wrong.errors(include_url=False)[0]["msg"]))
        raise UsageError(f"--set {name}={shorten(text, 60)}: {shorten(said, 160)}") from wrong
    return value
