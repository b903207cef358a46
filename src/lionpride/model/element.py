"""Element: an object with an identity."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from time import time
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Self,
    TypeVar,
    cast,
    overload,
)
from uuid import UUID

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, model_serializer
from pydantic_core import PydanticCustomError

from ..errors import ConfigurationError, OperationError, ValidationError
from . import registry
from .construction import InstanceTemplate, keep_dict, missing, own_fields_set
from .ids import made_id
from .serialization.class_metadata import marks_of, take_marks
from .serialization.codec import Encoder, decode, read_elements_with
from .serialization.fast_dump import FastDump
from .serialization.nested import Nesting, fields_with_models, holds_json_text, may_have_aliases

__all__ = ("BY_NAME", "Element", "as_id", "made_on_first_use", "read_metadata", "utc_time")

Mode = Literal["python", "json", "db"]
CreatedAtFormat = Literal["datetime", "isoformat", "timestamp"]

_UNDECLARED: Final = frozenset(("id", "created_at", "metadata", "execution"))
"""Arguments that are not pydantic fields."""

BY_NAME: dict[str, Any] = (
    {"by_name": True} if "by_name" in inspect.signature(BaseModel.model_validate).parameters else {}
)
"""Options with which pydantic 2.11 and later read fields by name, whatever the model says."""

V = TypeVar("V")

_MICROSECOND: Final = timedelta(microseconds=1)

_CONTEXT: ContextVar[Any] = ContextVar("lionpride_validation_context", default=None)
"""The ``context`` of the present validation, for nested elements."""


_ARRIVING: dict[int, dict[str, Any]] = {}
"""Values given to instances that are being validated, by ``id()``; validators may read them."""


class made_on_first_use(Generic[V]):  # noqa: N801  (reads as the decorator that it is)
    """A read-only attribute that is computed when it is first read.

    From then on it is an entry of the instance's ``__dict__``, which is copied and pickled with
    the other entries.
    """

    def __init__(self, make: Callable[[Any], V]) -> None:
        self.make = make
        self.name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> V: ...
    def __get__(self, instance: object | None, owner: type) -> Self | V:
        if instance is None:
            return self
        if _ARRIVING and self.name in (given := _ARRIVING.get(id(instance), {})):
            value: V = given[self.name]
        else:
            value = self.make(instance)
        instance.__dict__[self.name] = value
        return value


class Element(BaseModel):
    """An object with an identity: it is compared, hashed and found by its ``id``.

    Subclasses declare their fields as in any pydantic model. ``id``, ``created_at`` and
    ``metadata`` are not pydantic fields. They can be passed to the constructor, and are part of
    ``to_dict()`` and ``model_dump()``. Otherwise they are created on first access: a UUID costs
    more than the rest of a small event.

    Args:
        id: A UUID, its text, or another Element; by default a new one in order of time
            (version 7). Read-only.
        created_at: A datetime (naive: UTC), ISO text, or a Unix timestamp in seconds; now by
            default. Read-only, always in UTC.
        metadata: A mapping of the user's own; empty by default.
    """

    model_config = ConfigDict(
        extra="forbid",
        validate_assignment=True,
        arbitrary_types_allowed=True,
        use_enum_values=True,
        populate_by_name=True,  # dumps have the names, whatever the aliases
        ignored_types=(made_on_first_use,),
    )

    if TYPE_CHECKING:
        id: UUID = Field(default_factory=lambda: made_id({}, 0.0), frozen=True)
        created_at: datetime = Field(default_factory=lambda: datetime.now(UTC), frozen=True)
        metadata: dict[str, Any] = {}
    else:

        @made_on_first_use
        def id(self) -> UUID:
            """The identity of the element."""
            return made_id(self.__dict__, self.created_timestamp)

        @made_on_first_use
        def created_at(self) -> datetime:
            """The time of creation, in UTC."""
            return utc_time(self.created_timestamp)

        @property
        def metadata(self) -> dict[str, Any]:
            """A mapping for the user's own data."""
            given = _ARRIVING.get(id(self), {})
            return self.__dict__.setdefault("_metadata", given.get("_metadata", {}))

        @metadata.setter
        def metadata(self, value: Any) -> None:
            self.__dict__["_metadata"] = _as_metadata(value)

    if TYPE_CHECKING:  # what pydantic need not read anew for every subclass
        _template: ClassVar[InstanceTemplate]
        _fast_dump: ClassVar[FastDump]
        former_names: ClassVar[tuple[str, ...]]
        """Registry keys that the class had before it was moved or renamed, oldest first.

        Data under such a key is read as this class. It applies to the class that sets it, and not
        to subclasses. A field may have this name, as the attribute exists only if a class sets it.
        """
        kept_entries: ClassVar[frozenset[str]]
        """Names that the library uses in the ``__dict__`` in addition to the fields."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _refuse_shadows(cls)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._template = InstanceTemplate(cls, cls._entries())
        cls._fast_dump = FastDump(cls)
        registry.register(cls)

    @classmethod
    def _entries(cls) -> tuple[str, ...]:
        """Return the usual entries of the ``__dict__`` of an instance in addition to the fields."""
        return ("_created", "_id", "id")

    def __init__(self, /, **data: Any) -> None:
        template = self._template
        if not data and template.blank is not None:
            own = self.__dict__
            own["_created"] = time()
            for name, value in template.blank:
                own[name] = value
        elif _ARRIVING or not _UNDECLARED.isdisjoint(data):  # it may be inside another element
            context = _CONTEXT.get()
            options = {} if context is None else {"context": context}
            _fill(self, data, options)
        elif template.fill(self, data, data):
            self.__dict__["_created"] = time()
        else:
            self.__pydantic_validator__.validate_python(data, self_instance=self)
            self.__dict__["_created"] = time()
            template.share(self, data, tuple(data))

    if not TYPE_CHECKING:  # the signatures are pydantic's
        __getattr__ = missing

        @classmethod
        def model_validate(cls, obj: Any, **options: Any) -> Self:
            """Return an element from a mapping of its fields, as pydantic's method does.

            Each validator is called once, and all options apply. Pydantic alone would pass the
            mapping to ``__init__`` without the options, and would call validators of the whole
            model twice. A ``context`` also reaches Elements in fields that are given as mappings.
            The other options apply to this element, and to models in its fields.

            Args:
                obj: A mapping of the fields, or an instance.
                **options: strict, context, by_alias, by_name and other options of pydantic.

            Raises:
                ValidationError: for an option, if the class has its own ``__init__``, which accepts
                    none; pydantic's own ValidationError if a field does not fit.
            """
            is_simple = not options and not cls.__pydantic_decorators__.model_validators
            if is_simple or not isinstance(obj, dict):
                return super().model_validate(obj, **options)
            return _validated(cls, obj, options)

        @classmethod
        def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
            """Return an element from a JSON object of its fields: see ``model_validate``."""
            try:
                obj = pydantic_core.from_json(json_data)
            except ValueError:
                obj = None
            if not isinstance(obj, dict):
                return super().model_validate_json(json_data, **options)
            return _validated(cls, obj, options, is_json=True)

        @classmethod
        def model_validate_strings(cls, obj: Any, **options: Any) -> Self:
            """Return an element from a mapping of texts, without options.

            Raises:
                ValidationError: for an option, which pydantic would ignore.
            """
            _refuse_options(cls, "method model_validate_strings", options)
            return super().model_validate_strings(obj)

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse_entry(self, name)
        own_fields_set(self)
        own = self.__dict__
        super().__setattr__(name, value)
        keep_dict(self, own)

    def _take_undeclared(self, data: dict[str, Any]) -> dict[str, Any]:
        """Move values that are not fields out of the fields' data: entries for the ``__dict__``."""
        return _take_identity(self, data)

    @classmethod
    def reserved(cls) -> Mapping[str, str]:
        """Return names that a field of a subclass cannot have, each with its meaning."""
        return _RESERVED

    @classmethod
    def class_name(cls, full: bool = False) -> str:
        """Return the class's name without generic parameters; with ``full``, its registry key."""
        return registry.key_of(cls) if full else cls.__name__.split("[", 1)[0]

    @property
    def created_timestamp(self) -> float:
        """The time of creation, as a Unix timestamp in seconds."""
        try:
            return float(self.__dict__["_created"])
        except KeyError:  # not validated, or not yet
            given = _ARRIVING.get(id(self), {})
            return float(self.__dict__.setdefault("_created", given.get("_created", time())))

    @model_serializer(mode="wrap")
    def _dump(self, handler: Any, info: Any) -> dict[str, Any]:
        """Pydantic's own dump, with the identity in front."""
        if isinstance(info.context, Nesting) and (nested := info.context.of(self)) is not None:
            return nested
        own: dict[str, Any] = self._identity() | handler(self)
        if isinstance(info.include, set):
            own = {name: value for name, value in own.items() if name in info.include}
        if isinstance(info.exclude, set):
            own = {name: value for name, value in own.items() if name not in info.exclude}
        return own

    def _renewed(self, metadata: dict[str, Any]) -> Self:
        """Return a copy with an identity of its own."""
        fresh = self.model_copy()
        fresh.__dict__.pop("id", None)
        fresh.__dict__.pop("created_at", None)
        fresh.__dict__.update(_created=time(), _metadata=metadata)
        return fresh

    def _identity(self) -> dict[str, Any]:
        return {"id": self.id, "created_at": self.created_at, "metadata": dict(self.metadata)}

    def to_dict(
        self,
        mode: Mode = "python",
        created_at_format: CreatedAtFormat | None = None,
        meta_key: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the element as plain data, which ``from_dict`` accepts.

        Args:
            mode: "python" keeps Python objects; "json" has JSON's types only; "db" is "json"
                with ``created_at`` as a datetime and metadata under ``node_metadata``.
            created_at_format: "datetime", "isoformat" or "timestamp"; by default isoformat
                in json mode, else datetime.
            meta_key: Another key for the metadata.
            **kwargs: For pydantic's ``model_dump`` (include, exclude, by_alias, ...).

        Raises:
            ValidationError: for an unknown mode, or a datetime in json mode.
        """
        if mode == "json" and created_at_format is None and meta_key is None and not kwargs:
            plain = self._fast_dump.of(self)
            if plain is not None:
                return self._assembled(*plain)
        if mode not in ("python", "json", "db"):
            raise ValidationError(f"mode {mode!r} is none of 'python', 'json', 'db'")
        if mode == "json" and created_at_format == "datetime":
            raise ValidationError(
                "created_at_format='datetime' is no JSON: use 'isoformat' or 'timestamp'"
            )
        data = self._data(None if mode == "python" else Encoder(), kwargs)
        if "created_at" in data:
            default = "isoformat" if mode == "json" else "datetime"
            data["created_at"] = _time_as(created_at_format or default, self)
        meta_key = meta_key or ("node_metadata" if mode == "db" else None)
        if meta_key and "metadata" in data:
            data[meta_key] = data.pop("metadata")
        return data

    def _assembled(self, metadata: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        """Return the result of ``to_dict("json")`` from parts that are plain."""
        made: datetime = self.__dict__.get("created_at") or utc_time(self.created_timestamp)
        created_at = made.isoformat()
        return {"id": str(self.id), "created_at": created_at, "metadata": metadata, **fields}

    def _data(self, encoder: Encoder | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the dump with its class; ``encoder``, if given, encodes every value."""
        kwargs.pop("mode", None)
        nests = encoder is not None and (
            bool(self.__pydantic_extra__) or bool(fields_with_models(type(self)))
        )
        if nests:  # parts of models inside are left to pydantic
            nests = not any(isinstance(kwargs.get(n), Mapping) for n in ("include", "exclude"))

        def dump(**how: Any) -> dict[str, Any]:
            context = {"context": Nesting(self)} if nests else {}
            return self.model_dump(**(context | kwargs | how))

        if encoder is None or "round_trip" in kwargs or not holds_json_text(type(self)):
            data = dump()
        else:  # a round trip writes JSON text as it was given, and leaves computed fields out
            data = dump(round_trip=True)
            if computed := type(self).model_computed_fields:
                data |= {name: value for name, value in dump().items() if name in computed}
        if encoder is not None:
            for name, value in data.items():
                if name not in ("id", "created_at"):
                    data[name] = self._encoded(name, value, encoder)
            if "id" in data:
                data["id"] = str(data["id"])
        if "metadata" in data:
            data["metadata"] |= marks_of(type(self))
            if encoder is not None and encoder.tagged:
                data["metadata"]["lion_tags"] = True
        return data

    def _encoded(self, name: str, value: Any, encoder: Encoder) -> Any:
        """Encode a value; one that has no tag (such as a Path) is written as pydantic does."""
        before = encoder.tagged, encoder.marked
        encoded = encoder.encode(value)
        field = type(self).model_fields.get(name)
        if encoder.marked == before[1] or field is None or field.annotation is Any:
            return encoded
        textual = Encoder(as_text=True)
        text = textual.encode(value)
        if textual.tagged and not textual.marked:  # pydantic's JSON knows no tags
            encoder.tagged, encoder.marked = True, before[1]
            return text
        try:
            how: dict[str, Any] = {"context": Nesting(self), "include": {name}}
            if holds_json_text(type(self)):
                how["round_trip"] = True
            plain = self.model_dump(mode="json", **how)[name]
        except Exception:  # neither can pydantic, or a serializer of the user: the marker stays
            return encoded
        encoder.tagged, encoder.marked = before
        return encoder.encode(plain)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], meta_key: str | None = None, **kwargs: Any) -> Self:
        """Return the element of ``to_dict``'s result, in its original class.

        Args:
            data: The result of ``to_dict``; it is not changed. Metadata that is not a mapping is
                accepted: a JSON object in a text is read, other values are kept under ``legacy``.
            meta_key: The key of its metadata, if not ``metadata``.
            **kwargs: For ``model_validate``: strict, context, by_alias, by_name. Field names are
                accepted unless ``by_name=False``.

        Raises:
            TypeError: if the data is not a mapping.
            ValidationError: if the class is not a subclass of this one, or a field does not fit
                (pydantic's own ValidationError names it).
            UnknownClassError: if this process has not defined the class; it is a NotFoundError
                and a ValueError.
        """
        data = _as_data(cls.class_name(), data)
        for key in (meta_key, "node_metadata"):
            if key and key != "metadata" and key in data:
                data["metadata"] = data.pop(key) if "metadata" not in data else data["metadata"]
                data.pop(key, None)
        meta = read_metadata(data.get("metadata"))
        key, tagged = take_marks(meta)
        target: type[Element] = cls if key is None else registry.find(key)
        if not issubclass(target, cls) and not issubclass(cls, target):
            raise ValidationError(f"{key} is not a {cls.class_name()}: read it with its own class")
        data["metadata"] = meta
        return cast("Self", target._from_data(target._decoded(data) if tagged else data, kwargs))

    @classmethod
    def _decoded(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return data with its tags decoded."""
        return {name: decode(value) for name, value in data.items()}

    @classmethod
    def _from_data(cls, data: dict[str, Any], kwargs: dict[str, Any]) -> Self:
        """Return an element of this very class from data without tags."""
        if computed := cls.model_computed_fields:
            data = {name: value for name, value in data.items() if name not in computed}
        if cls.__init__ is Element.__init__ and may_have_aliases(cls):
            kwargs = BY_NAME | kwargs
        return cls.model_validate(data, **kwargs)

    def to_json(
        self, *, pretty: bool = False, sort_keys: bool = False, decode: bool = True, **kwargs: Any
    ) -> str | bytes:
        """Return ``to_dict(mode="json")`` as JSON text; as bytes (UTF-8) with ``decode=False``.

        Sets are always written in order. ``deterministic_sets`` is accepted and has no effect.
        """
        kwargs.pop("mode", None)
        kwargs.pop("deterministic_sets", None)
        import json  # late: slow to import, and rarely needed

        data = self.to_dict("json", **kwargs)
        text = json.dumps(data, indent=2 if pretty else None, sort_keys=sort_keys)
        return text if decode else text.encode()

    @classmethod
    def from_json(cls, text: str | bytes, /, **kwargs: Any) -> Self:
        """Return the element of ``to_json``'s result."""
        import json  # late: as in `to_json`

        return cls.from_dict(json.loads(text), **kwargs)

    def __copy__(self) -> Self:
        _ = self.id  # made now, so that the copy is the same thing
        return super().__copy__()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        _ = self.id
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        _ = self.id
        return super().__getstate__()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Element):
            return NotImplemented
        return self is other or self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"{self.class_name()}(id={self.id})"


read_elements_with(Element.from_dict)
Element.__pydantic_init_subclass__()  # its subclasses are registered as they are defined
Element.kept_entries = frozenset(("_created", "_id", "_metadata"))

_RESERVED: Mapping[str, str] = {
    "id": "the identity",
    "created_at": "the time of creation",
    "metadata": "the user's own mapping",
}


def _refuse_shadows(cls: type[Element]) -> None:
    """Refuse a class that defines a reserved name.

    Raises:
        ConfigurationError: for a field with a reserved name; and for any attribute (private, or a
            method) with the name of an entry that the library writes into the ``__dict__``.
    """
    annotations = inspect.get_annotations(cls)
    for name, annotation in annotations.items():
        meaning = cls.reserved().get(name)
        if meaning is not None and "ClassVar" not in str(annotation):
            remedy = "annotate it as a ClassVar, or " if "ClassVar" in meaning else ""
            raise ConfigurationError(
                f"{cls.__qualname__}.{name}: the name {name!r} is taken ({meaning}): "
                f"{remedy}give the field another name, such as {name}_"
            )
    private: dict[str, object] = cls.__dict__.get("__private_attributes__", {})
    for name in cls.kept_entries & (annotations.keys() | vars(cls).keys() | private.keys()):
        raise ConfigurationError(
            f"{cls.__qualname__}.{name}: the name {name!r} is taken (the library keeps its state "
            f"there): use another, such as {name}_"
        )


def _refuse_entry(element: Element, name: str) -> None:
    """Refuse to set an attribute with the name of an entry that the library writes.

    Raises:
        OperationError: if it is such a name; the message proposes another.
    """
    if name in element.kept_entries:
        raise OperationError(
            f"{element.class_name()}.{name} cannot be set: the library keeps its state there; "
            f"use another name, such as {name}_"
        )


def _as_time(value: Any) -> datetime:
    if isinstance(value, bool):
        raise ValidationError(f"{value!r} is no time: give a datetime, ISO text or a timestamp")
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = datetime.fromisoformat(value)
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    raise ValidationError(f"{value!r} is no time: give a datetime, ISO text or a timestamp")


def utc_time(timestamp: float) -> datetime:
    """Return the time of a Unix timestamp in UTC, never later than the timestamp.

    ``datetime.fromtimestamp`` rounds to the nearest microsecond, which may lie in the future.
    """
    time = datetime.fromtimestamp(timestamp, UTC)
    return time - _MICROSECOND if time.timestamp() > timestamp else time


def _as_metadata(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, type):
        if callable(to_dict := getattr(value, "to_dict", None)):
            return dict(to_dict())
        if hasattr(value, "__dict__"):
            return dict(vars(value))
    raise ValidationError(f"metadata must be a mapping, not {value!r}")


def read_metadata(value: Any) -> dict[str, Any]:
    """Return the metadata of stored data, also of data that older programs have written.

    An empty value means no metadata. The text of a JSON object is read as that object. Any other
    value that is not a mapping is kept under the key ``legacy``.
    """
    if isinstance(value, str):
        import json  # late: dear to import, and few need it

        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if isinstance(value, Mapping | BaseModel):
        return _as_metadata(value)
    return {"legacy": value} if value else {}


def _as_data(name: str, data: object) -> dict[str, Any]:
    """Return a copy of the argument of ``from_dict``.

    Args:
        name: The name of the class, for the message.
        data: The argument.

    Raises:
        TypeError: if it is not a mapping.
    """
    if not isinstance(data, Mapping):
        raise TypeError(
            f"{name}.from_dict takes the dict that to_dict returned, not "
            f"{type(data).__name__}: use from_json for text"
        )
    return dict(data)


def _time_as(how: str, element: Element) -> Any:
    """Return the creation time as a "timestamp", in "isoformat", or as a datetime."""
    if how == "timestamp":
        return element.created_timestamp
    return element.created_at.isoformat() if how == "isoformat" else element.created_at


def _take_identity(element: Element, data: dict[str, Any]) -> dict[str, Any]:
    """Move the identity out of the fields' data, and check it as fields are checked."""
    given: dict[str, Any] = {}
    for name, key, convert in _CONVERT:
        if name in data:
            value = data.pop(name)
            try:
                given[key] = convert(value)
            except (ValueError, TypeError, OverflowError) as error:
                reason = PydanticCustomError("identity", "{reason}", {"reason": str(error)})
                raise pydantic_core.ValidationError.from_exception_data(
                    element.class_name(),
                    [{"type": reason, "loc": (name,), "input": value}],
                ) from error
    if "created_at" in given:
        given["_created"] = given["created_at"].timestamp()
    return given


def _fill(
    element: Element, data: dict[str, Any], how: dict[str, Any], *, is_json: bool = False
) -> Any:
    """Validate a new element; return it, or the object that a validator of the model returned.

    Args:
        element: The new element, without any values.
        data: Its values. The identity is removed from it.
        how: The options of ``model_validate`` that are not None.
        is_json: True if the data was JSON, which strict mode treats differently.
    """
    given = element._take_undeclared(data)
    names = tuple(data)
    token = None if how.get("context") is None else _CONTEXT.set(how["context"])
    _ARRIVING[id(element)] = given
    try:
        validator = element.__pydantic_validator__
        if is_json:
            text = pydantic_core.to_json(data, inf_nan_mode="constants")
            made = validator.validate_json(text, self_instance=element, **how)
        else:
            made = validator.validate_python(data, self_instance=element, **how)
    finally:
        del _ARRIVING[id(element)]
        if token is not None:
            _CONTEXT.reset(token)
    element.__dict__.update({"_created": time()} | given | element.__dict__)
    if not given:
        element._template.share(element, data, names)
    return made


def _validated(
    cls: type[Element], obj: dict[str, Any], options: dict[str, Any], *, is_json: bool = False
) -> Any:
    """Return an element from the values of its fields: see ``model_validate``."""
    has_own_init = cls.__init__ is not Element.__init__
    if has_own_init:
        _refuse_options(cls, "__init__ of its own", options)
    try:
        if has_own_init:
            return cls(**obj)
        how = {name: value for name, value in options.items() if value is not None}
        return _fill(cls.__new__(cls), dict(obj), how, is_json=is_json)
    except pydantic_core.ValidationError:
        raise
    except (ValueError, AssertionError) as error:  # pydantic reports errors of __init__ like this
        reason = pydantic_core.InitErrorDetails(type="value_error", input=obj, ctx={"error": error})
        raise pydantic_core.ValidationError.from_exception_data(cls.__name__, [reason]) from error


def _refuse_options(cls: type[Element], what: str, options: Mapping[str, Any]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ValidationError(
            f"{cls.__name__} cannot be validated with {'=, '.join(given)}=, since the {what} takes "
            "no options: leave them out, or validate with model_validate a class without an "
            "__init__ (its code can be a model validator)"
        )


def as_id(value: Any) -> UUID:
    """Return the UUID of an Element, of a text, or of a UUID.

    Raises:
        ValidationError: if the value is none of these.
    """
    if isinstance(value, UUID):
        return value
    if isinstance(value, Element):
        return value.id
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            pass
    raise ValidationError(f"{value!r} is no id: give a UUID, its text, or an Element")


_CONVERT: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("id", "id", as_id),
    ("created_at", "created_at", _as_time),
    ("metadata", "_metadata", _as_metadata),
)
