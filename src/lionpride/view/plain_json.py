"""Recorded values as plain JSON, without the tags by which they are read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from pydantic_core import to_jsonable_python

__all__ = ["plain_json"]


def plain_json(value: Any) -> Any:
    """Return recorded data as plain JSON.

    A datetime is ISO text, a tuple or a set a list, bytes are base64. A mapping whose keys are the
    same as text is a list of pairs.
    """
    if isinstance(value, list):
        return [plain_json(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        ((tag, content),) = value.items()
        if write := _PLAIN.get(tag):
            try:
                return write(content)
            except (TypeError, ValueError, KeyError):  # data that only looks like a tag
                return value
    return {key: plain_json(item) for key, item in value.items()}


def _items(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise TypeError
    return plain_json(content)  # type: ignore[no-any-return]


def _mapping(content: Any) -> Any:
    pairs = [(plain_json(key), plain_json(item)) for key, item in content]
    found = {_key(key): item for key, item in pairs}
    return found if len(found) == len(pairs) else [list(pair) for pair in pairs]


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key, ensure_ascii=False)


def _integer(content: Any) -> Any:
    number = int(content, 16)
    return number if number.bit_length() < 1000 else content  # Python limits the digits it writes


def _complex(content: Any) -> str:
    real, imaginary = content
    return f"{real}{imaginary if imaginary.startswith('-') else '+' + imaginary}j"


def _time(content: Any) -> str:
    """ISO text alone, without the name of a zone."""
    return str(content).partition("[")[0]


def _as_it_is(content: Any) -> Any:
    return content


_PLAIN: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(
        ("$bytes", "$bytearray", "$date", "$uuid", "$decimal", "$float", "$continued"), _as_it_is
    ),
    **dict.fromkeys(("$secret", "$secretbytes"), _as_it_is),
    **dict.fromkeys(("$datetime", "$time"), _time),
    **dict.fromkeys(("$tuple", "$set", "$frozenset"), _items),
    **dict.fromkeys(("$element", "$error"), plain_json),
    "$timedelta": lambda content: to_jsonable_python(timedelta(*content)),
    "$complex": _complex,
    "$unset": lambda _: None,
    "$int": _integer,
    "$dict": _mapping,
    "$repr": lambda content: content["repr"],
}
