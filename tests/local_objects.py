"""A type of field for code and other objects of one process, which any store can keep.

What is stored is a key of a registry, and the key is read back as the object. So an event with such
a field may be appended to a durable store, and be claimed anew in the same process.
"""

from typing import Annotated, Any
from weakref import WeakValueDictionary

from pydantic import BeforeValidator, PlainSerializer

OBJECTS: "WeakValueDictionary[str, Any]" = WeakValueDictionary()


def _write(value: Any) -> str | None:
    if value is None:
        return None
    key = f"object {id(value)}"
    OBJECTS[key] = value
    return key


def _read(value: Any) -> Any:
    return OBJECTS.get(value, value) if isinstance(value, str) else value


LocalObject = Annotated[Any, BeforeValidator(_read), PlainSerializer(_write)]
"""An object that lives in this process."""
