"""Events made of what a store kept of them: a shortcut past what most classes have no use for.

``packing.unpack`` goes the way of any data from outside: through ``from_dict``, twice through
pydantic, with marks, tags and aliases on the way. A worker does so for each event that another
process appended. Here is what is left of that for a class without code of its own in the way, and
a payload without tags; whatever else there is goes the long way, and the result is the same.
"""

from __future__ import annotations

from json import JSONDecoder
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin
from weakref import WeakKeyDictionary, ref

from ...errors import LionprideError
from .. import registry
from ..construction import is_bare, set_fields_set
from ..element import BY_NAME, Element
from ..event_data import Work
from .class_metadata import HIDDEN
from .default_values import constants_of
from .nested import may_have_aliases

__all__ = ("Revival", "revival_of")

_SCALARS: Final = frozenset((NoneType, bool, int, float, str))
_USUAL: Final = {"timeout": None, "streaming": False}
"""What a payload leaves out; see ``packing.whole``."""

_MARKS: Final = {"lion_class", HIDDEN}

_decode: Final = JSONDecoder().raw_decode
_new: Final = object.__new__


class Revival:
    """Makes the events of one class.

    Args:
        kind: The class, which is ``is_simple``.
    """

    __slots__ = (
        "_all",
        "_constant",
        "_fields",
        "_given",
        "_how",
        "_is_pure",
        "_key",
        "_kind",
        "_text",
    )

    def __init__(self, kind: type[Work]) -> None:
        self._key = registry.key_of(kind)
        self._kind = ref(kind)  # or it would keep itself alive in `_known`
        self._is_pure = _is_pure(kind)
        self._how = BY_NAME if may_have_aliases(kind) else {}
        self._all = frozenset(kind.model_fields)
        self._constant = frozenset(constants_of(kind))
        self._text: str | None = None  # of the last one
        self._fields: dict[str, Any] = {}  # what it says
        self._given: set[str] = set()

    def __call__(self, text: str, uid: bytes, created: float) -> Work | None:
        """The event that ``packing.packed`` was asked of; None if that takes the long way.

        Args:
            text: What ``packed`` gave.
            uid: The bytes of its id.
            created: When it was made, as a Unix timestamp in seconds.
        """
        if text == self._text and (kind := self._kind()) is not None:
            work: Work = _new(kind)
            own = work.__dict__
            own["_created"] = created
            own.update(self._fields)
            set_fields_set(work, self._given)
        else:
            made = self._validated(text)
            if made is None:
                return None
            work, own = made, made.__dict__
            own["_created"] = created
        own["_id"] = uid
        return work

    def _validated(self, text: str) -> Work | None:
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
            work: Work = _new(kind)
            kind.__pydantic_validator__.validate_python(data, self_instance=work, **self._how)
        except Exception:  # whatever is wrong with it, the long way says so
            return None
        thrift = kind._thrifty
        if len(names) > len(data):  # what was left out counts as given
            set_fields_set(work, set(names))
        thrift.share(work, names)
        if self._is_pure and (given := thrift.shared(names)) is not None:
            fields = work.__dict__
            if all(type(value) in _SCALARS for value in fields.values()):
                self._text, self._fields, self._given = text, dict(fields), given
        return work

    def _says_no_more(self, metadata: Any) -> bool:
        """Whether metadata has the marks of this class in it, and nothing else."""
        return bool(metadata.keys() <= _MARKS and metadata["lion_class"] == self._key)


_known: WeakKeyDictionary[type[Work], Revival | None] = WeakKeyDictionary()


def revival_of(key: str) -> Revival | None:
    """What makes events of a class, by its registry key; None if they take the long way."""
    try:
        kind = registry.find(key)
    except LionprideError:
        return None
    if not issubclass(kind, Work) or not kind.__pydantic_complete__:
        return None
    if kind not in _known:
        _known[kind] = Revival(kind) if _is_simple(kind) else None
    return _known[kind]


def _is_simple(kind: type[Work]) -> bool:
    """Whether nothing but pydantic's validation of the fields has a hand in making one.

    That is looked at once: what is set on the class afterwards is not seen.
    """
    return (
        is_bare(kind)
        and _home(kind, "__init__") is Element
        and kind.__new__ is object.__new__
        and _is_inherited(kind, "_from_data", "_decoded", "model_validate")
        and not kind.model_computed_fields
        and not any(
            field.alias or field.validation_alias or field.serialization_alias
            for field in kind.model_fields.values()
        )
    )


def _is_inherited(kind: type[Work], *names: str) -> bool:
    return all(_home(kind, name) is _home(Work, name) for name in names)


def _home(kind: type, name: str) -> type:
    """The class in whose body a name stands that a class has."""
    return next(each for each in kind.__mro__ if name in vars(each))


def _is_pure(kind: type[Work]) -> bool:
    """Whether the same text makes the same fields each time: no code but pydantic's looks at it."""
    validators = kind.__pydantic_decorators__.field_validators.keys()
    check = "_check_timeout"
    return (
        validators <= {check}
        and _is_inherited(kind, check)
        and all(
            field.annotation == Work.model_fields[name].annotation
            if name in _USUAL
            else _is_scalar(field.annotation) and all(map(_is_a_bound, field.metadata))
            for name, field in kind.model_fields.items()
        )
    )


def _is_scalar(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return all(map(_is_scalar, get_args(annotation)))
    return annotation in _SCALARS


def _is_a_bound(mark: Any) -> bool:
    """Whether a mark beside a type is a bound or a length, which calls nothing."""
    return type(mark).__module__ == "annotated_types" and not hasattr(mark, "func")
