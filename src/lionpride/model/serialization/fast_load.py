"""Shortcut from a payload to an event.

``payload.event_from_payload`` reads a payload as data from outside: through ``from_dict`` and
pydantic, with tags and aliases. A worker does so for each event that another process appended.
For a class without code of its own and a payload without tags, validation of the fields is
enough. Any other class or payload takes the general way, with the same result.
"""

from __future__ import annotations

from json import JSONDecoder
from typing import Any, Final
from weakref import ref

from ...errors import LionprideError
from .. import registry
from ..class_traits import cached_by_class, traits_of
from ..construction import set_fields_set
from ..element import BY_NAME
from ..event_data import EventData
from .class_metadata import HIDDEN
from .default_values import constants_of
from .nested import may_have_aliases

__all__ = ("FastLoad", "fast_load_of")

_USUAL: Final = {"timeout": None, "streaming": False}
"""Fields that a payload may omit; see ``payload.with_usual_fields``."""

_MARKS: Final = {"lion_class", HIDDEN}

_decode: Final = JSONDecoder().raw_decode
_new: Final = object.__new__


class FastLoad:
    """Makes the events of one class.

    Args:
        kind: The class, which is ``is_simple``.
    """

    __slots__ = ("_all", "_constant", "_how", "_key", "_kind")

    def __init__(self, kind: type[EventData]) -> None:
        self._key = registry.key_of(kind)
        self._kind = ref(kind)  # or it would keep itself alive in `_known`
        self._how = BY_NAME if may_have_aliases(kind) else {}
        self._all = frozenset(kind.model_fields)
        self._constant = frozenset(constants_of(kind))

    def __call__(self, text: str, uid: bytes, created: float) -> EventData | None:
        """The event that ``payload_of`` was asked of; None if that takes the long way.

        Args:
            text: What ``packed`` gave.
            uid: The bytes of its id.
            created: When it was made, as a Unix timestamp in seconds.
        """
        event = self._validated(text)
        if event is not None:
            own = event.__dict__
            own["_created"] = created
            own["_id"] = uid
        return event

    def _validated(self, text: str) -> EventData | None:
        try:
            data, end = _decode(text)
            if end != len(text) or type(data) is not dict:
                return None
            if "metadata" not in data:
                data = _USUAL | data
            elif not self._says_no_more(data.pop("metadata")):
                return None
            kind = self._kind()
            if kind is None:
                return None
            names = tuple(data)
            if len(data) < len(self._all):
                absent = self._all.difference(data)
                if not absent <= self._constant:  # a factory may return another value
                    return None
                names += tuple(sorted(absent))
            event: EventData = _new(kind)
            template = kind._template
            if template.fill(event, data, names):
                return event
            kind.__pydantic_validator__.validate_python(data, self_instance=event, **self._how)
        except Exception:  # whatever is wrong with it, the long way says so
            return None
        if len(names) > len(data):  # what was left out counts as given
            set_fields_set(event, set(names))
        template.share(event, data, names)
        return event

    def _says_no_more(self, metadata: Any) -> bool:
        """Whether metadata has the marks of this class in it, and nothing else."""
        return bool(metadata.keys() <= _MARKS and metadata["lion_class"] == self._key)


def fast_load_of(key: str) -> FastLoad | None:
    """Return what builds events of a class, by its registry key; None for the general way."""
    try:
        kind = registry.find(key)
    except LionprideError:
        return None
    if not issubclass(kind, EventData) or not kind.__pydantic_complete__:
        return None
    return _fast_load_of_class(kind)


@cached_by_class
def _fast_load_of_class(kind: type[Any]) -> FastLoad | None:
    traits = traits_of(kind)
    is_simple = (
        traits.is_bare
        and traits.is_read_by_library
        and not kind.model_computed_fields
        and not any(
            field.alias or field.validation_alias or field.serialization_alias
            for field in kind.model_fields.values()
        )
    )
    return FastLoad(kind) if is_simple else None
