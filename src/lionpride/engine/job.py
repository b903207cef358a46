"""``@job``: write an event class as a function."""

from __future__ import annotations

import inspect
import math
import sys
from collections import abc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from types import SimpleNamespace
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    get_origin,
    get_type_hints,
    overload,
)

from pydantic import BaseModel

from ..errors import ConfigurationError, LionprideError
from ..model.costs import check_costs
from ..model.recurrence import Rule
from ..model.retry_policy import Retry
from ..model.schedule import Schedule
from .config import seconds
from .declared_schedules import declare_schedules
from .event import Event
from .threads import is_plain

__all__ = ("Job", "JobEvent", "job")

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C")

_Costs = Mapping[str, float] | Callable[[Any], Mapping[str, float]]

if TYPE_CHECKING:

    class JobEvent(Event, Generic[R_co]):
        """An event of a function decorated with ``@job``; it runs the function."""

        def _invoke(self) -> Coroutine[Any, Any, R_co]: ...

else:

    class _JobMeta(type(BaseModel)):
        """Makes events of a job from the arguments of its function."""

        def __call__(cls, /, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(**(cls._by_name(args, kwargs) if args else kwargs))

        def set_function(cls, function: Callable[..., Any], positional: tuple[str, ...]) -> None:
            """Set the function, and its parameters that may be passed by position."""
            cls._job_function = staticmethod(function)
            cls._job_positional = positional

        def _by_name(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
            names = cls._job_positional
            if len(args) > len(names):
                raise TypeError(
                    f"{cls.__name__}() takes {len(names)} positional arguments but {len(args)} "
                    "were given"
                )
            given = dict(zip(names, args, strict=False))
            if twice := given.keys() & kwargs.keys():
                raise TypeError(f"{cls.__name__}() got multiple values for {min(twice)!r}")
            return given | kwargs

        # Properties of the class and not of its events: a parameter may have the same name.

        @property
        def function(cls) -> Callable[..., Any]:
            return cls._job_function

        @property
        def event_type(cls) -> type[Event]:
            _ = cls._job_function  # JobEvent itself has none, and hides no name from pydantic
            return cls

    class JobEvent(Event, metaclass=_JobMeta):
        """An event of a function decorated with ``@job``; it runs the function."""

        _job_function: ClassVar[Callable[..., Any]]
        _job_positional: ClassVar[tuple[str, ...]] = ()

        @classmethod
        def __class_getitem__(cls, item: Any) -> Any:  # `JobEvent[int]`, in annotations
            return cls


class Job(Protocol[P, R_co]):
    """An event class that ``@job`` made from a function.

    A call with the arguments of the function returns an event. At run time, the class is a
    subclass of ``JobEvent``: dumps, restores and command line targets work as for other events.
    """

    @property
    def function(self) -> Callable[P, Any]:
        """The original function."""

    @property
    def event_type(self) -> Callable[..., JobEvent[R_co]]:
        """The class itself, for a call that also passes ``id``, ``metadata`` or ``timeout``."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> JobEvent[R_co]:
        """Return an event that calls the function with these arguments."""


class JobDecorator(Protocol):
    """A decorator that makes an event class from a function."""

    @overload
    def __call__(self, function: Callable[P, AsyncIterator[C]], /) -> Job[P, list[C]]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Job[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Iterator[C]], /) -> Job[P, list[C]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Job[P, R]: ...


@overload
def job(function: Callable[P, AsyncIterator[C]], /) -> Job[P, list[C]]: ...
@overload
def job(function: Callable[P, Coroutine[Any, Any, R]], /) -> Job[P, R]: ...
@overload
def job(function: Callable[P, Iterator[C]], /) -> Job[P, list[C]]: ...
@overload
def job(function: Callable[P, R], /) -> Job[P, R]: ...
@overload
def job(
    *,
    timeout: float | None = None,
    retry: Retry | None = None,
    costs: _Costs | None = None,
    key: Callable[[Any], str | None] | None = None,
    max_chunks: int | None = None,
    former_names: tuple[str, ...] = (),
    schedules: Mapping[str, Rule | Schedule] | None = None,
) -> JobDecorator: ...
def job(
    function: Callable[..., Any] | None = None,
    /,
    *,
    timeout: float | None = None,
    retry: Retry | None = None,
    costs: _Costs | None = None,
    key: Callable[[Any], str | None] | None = None,
    max_chunks: int | None = None,
    former_names: tuple[str, ...] = (),
    schedules: Mapping[str, Rule | Schedule] | None = None,
) -> Any:
    """Make an event class from a function; its parameters become the fields.

    >>> @job(timeout=30, retry=Retry(max_attempts=4))
    ... async def fetch(url: str) -> bytes:
    ...     return await download(url)
    >>> event = fetch("https://example.org")

    A call returns an event whose values pydantic has validated. The return value of the function
    is the response of the event. A plain function runs in a thread. For an async or plain
    generator, the response is the list of its chunks; ``executor.stream`` yields them live.

    Args:
        function: The function. Each parameter needs an annotation.
        timeout: Seconds that one attempt may take; None for no limit.
        retry: The retry policy; None for a single attempt.
        costs: Amounts that an attempt reserves of each limit, by the limit's name; or a function
            of the event that returns them. The default is one request.
        key: A function of the event that returns its key for limits with ``per_key``.
        max_chunks: Maximum number of chunks of a generator; 1,000,000 by default.
        former_names: Registry keys that the function had before it was moved or renamed, such as
            ``("jobs.fetch",)``. Events that are stored under them are read as this class.
        schedules: Schedules that executors of the job make when they start, by name. Each parameter
            needs a default then.

    Returns:
        The event class. Its attribute ``function`` is the original function.

    Raises:
        ConfigurationError: if a parameter cannot be a field, or an option is invalid.
    """
    frame = inspect.currentframe()
    caller = None if frame is None else frame.f_back
    names = {} if caller is None else caller.f_locals  # where the function is defined

    def decorate(function: Callable[..., Any]) -> Any:
        settings = _settings(function, timeout, retry, costs, key, max_chunks, former_names)
        kind = _event_class(function, settings, names)
        if schedules is not None:
            declare_schedules(kind, schedules)
        return kind

    return decorate if function is None else decorate(function)


def _event_class(
    function: Callable[..., Any], settings: Mapping[str, Any], names: Mapping[str, Any]
) -> Any:
    """Return the event class of a function.

    Args:
        function: The function.
        settings: Class attributes, from the options of ``job``.
        names: The local names where the function is defined, for its annotations.
    """
    parameters = _parameters(function)
    annotations = _types(function, parameters, names)
    if "former_names" in parameters.keys() & settings.keys():
        raise ConfigurationError(
            f"@job: parameter 'former_names' of {function.__qualname__}() has the name of an "
            "option that is given: call it 'former_names_'"
        )
    returned = _returned(function, names)
    members = {**_code(function, tuple(parameters), returned), **settings}
    annotations |= {name: _SETTINGS[name] for name in members if name in _SETTINGS}
    for parameter in parameters.values():
        if parameter.default is not parameter.empty:
            members[parameter.name] = parameter.default
    members |= {
        "__module__": function.__module__ or "builtins",  # as of a class in exec()
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__ or f"Event that runs {function.__qualname__}().",
        "__annotations__": annotations,
    }
    meta: Any = type(JobEvent)
    kind = meta(function.__name__, (JobEvent,), members)
    if lost := parameters.keys() - kind.model_fields.keys():
        raise ConfigurationError(
            f"@job: parameter {min(lost)!r} of {function.__qualname__}() is no field for pydantic: "
            "annotate it with a type, and without ClassVar or Final"
        )
    by_position = inspect.Parameter.POSITIONAL_OR_KEYWORD
    kind.set_function(
        function, tuple(name for name in parameters if parameters[name].kind is by_position)
    )
    return kind


_SETTINGS: Mapping[str, Any] = {
    "timeout": float | None,
    "streaming": bool,
    "former_names": ClassVar[tuple[str, ...]],
}
"""Types of the settings that pydantic needs an annotation of."""


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function by name.

    Raises:
        ConfigurationError: names a parameter that cannot be a field.
    """
    form: dict[str, Any] = {}
    if sys.version_info >= (3, 14):
        from annotationlib import Format  # late: not before Python 3.14

        form = {"annotation_format": Format.FORWARDREF}
    found = dict(inspect.signature(function, **form).parameters)
    for name, parameter in found.items():
        problem = _problem(parameter)
        if problem is not None:
            raise ConfigurationError(
                f"@job: parameter {name!r} of {function.__qualname__}() {problem}"
            )
    return found


def _problem(parameter: inspect.Parameter) -> str | None:
    """Return why a parameter cannot be a field, and the remedy; None if it can."""
    name, kind = parameter.name, parameter.kind
    if kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        sign = "*" if kind is parameter.VAR_POSITIONAL else "**"
        return f"is {sign}{name}, which has no fixed fields: name each parameter"
    if kind is parameter.POSITIONAL_ONLY:
        return "is positional-only: fields have names, so move it behind the '/'"
    if parameter.annotation is parameter.empty:
        if name == "self":
            return "belongs to a method: define the function outside of a class"
        return "has no annotation: write its type, as in `url: str`"
    if name.startswith("_"):
        return f"begins with an underscore: call it {name.strip('_') or 'value'!r}"
    if name in JobEvent.model_fields or any(name in vars(base) for base in JobEvent.__mro__):
        return f"has a name that events use themselves: call it {name + '_'!r}"
    return None


def _types(
    function: Callable[..., Any],
    parameters: Mapping[str, inspect.Parameter],
    names: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the types of the parameters; annotations that are text are evaluated.

    Raises:
        ConfigurationError: names a parameter whose annotation cannot be evaluated.
    """
    types = dict[str, Any]()
    for name, parameter in parameters.items():
        try:
            types[name] = _evaluated(function, parameter.annotation, names)
        except Exception as error:
            raise ConfigurationError(
                f"@job: the annotation of parameter {name!r} of {function.__qualname__}() cannot "
                f"be evaluated ({error}): define or import its type above the function, and "
                "outside of `if TYPE_CHECKING`",
                cause=error,
            ) from error
    return types


def _returned(function: Callable[..., Any], names: Mapping[str, Any]) -> Any:
    """Return the class that a function is annotated to return; None if it is not known."""
    annotation = getattr(function, "__annotations__", {}).get("return")
    try:
        found = _evaluated(function, annotation, names)
    except Exception:  # no field needs it, so it may be known to type checkers only
        return None
    return get_origin(found) or found


def _evaluated(function: Callable[..., Any], annotation: Any, names: Mapping[str, Any]) -> Any:
    """Return the type that an annotation of a function stands for."""
    known = getattr(inspect.unwrap(function), "__globals__", {})
    holder: Any = SimpleNamespace(__annotations__={"it": annotation})
    return get_type_hints(holder, known, dict(names), include_extras=True)["it"]


def _code(function: Callable[..., Any], names: tuple[str, ...], returned: Any) -> dict[str, Any]:
    """Return the method that runs a function, and ``streaming`` for a generator.

    Args:
        function: The function.
        names: Its parameters.
        returned: The class that it is annotated to return; None if it is not known.
    """

    def arguments(event: Event) -> dict[str, Any]:
        own = event.__dict__
        return {name: own[name] for name in names}

    called, plain = _called(function), is_plain(function)
    if inspect.isasyncgenfunction(called) or (plain and _is(returned, abc.AsyncIterator)):

        def stream(self: Any) -> Any:
            return function(**arguments(self))

        return {"_stream": stream, "streaming": True}
    if inspect.isgeneratorfunction(called) or (plain and _is(returned, abc.Iterator)):

        def stream_in_thread(self: Any) -> Any:
            yield from function(**arguments(self))

        return {"_stream": stream_in_thread, "streaming": True}
    if plain:

        def call_in_thread(self: Any) -> Any:
            return function(**arguments(self))

        return {"_invoke": call_in_thread}

    async def call(self: Any) -> Any:
        return await function(**arguments(self))

    return {"_invoke": call}


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what says how a function is called: itself, or what a plain decorator wraps."""
    kinds = inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction
    return function if any(is_kind(function) for is_kind in kinds) else inspect.unwrap(function)


def _is(returned: Any, kind: type) -> bool:
    return isinstance(returned, type) and issubclass(returned, kind)


def _settings(
    function: Any,
    timeout: Any,
    retry: Any,
    costs: Any,
    key: Any,
    max_chunks: Any,
    former_names: Any,
) -> dict[str, Any]:
    """Return the class attributes that the options of ``job`` set; see there.

    Raises:
        ConfigurationError: names what is wrong.
    """
    if not inspect.isroutine(function) or isinstance(function, staticmethod | classmethod):
        raise ConfigurationError(
            f"@job takes a function, not {function!r}: write `@job` above a `def`, or give "
            "options by name, as in @job(timeout=30)"
        )
    settings: dict[str, Any] = {}
    try:
        if timeout is not None:
            seconds("timeout", timeout, 0.0, math.inf, "timeout must be > 0 s.", "")
            if not timeout:
                raise ConfigurationError("timeout must be > 0 s. (timeout=0)")
            settings["timeout"] = float(timeout)
        if costs is not None and not callable(costs):
            check_costs("costs", costs)
    except LionprideError as error:
        raise ConfigurationError(f"@job of {function.__qualname__}(): {error}") from error
    if costs is not None:
        fixed = None if callable(costs) else dict(costs)
        settings["costs"] = property(costs if fixed is None else lambda _: fixed)
    if key is not None:
        settings["key"] = property(key)
    if retry is not None:
        settings["retry"] = retry  # the class checks it
    if max_chunks is not None:
        settings["max_chunks"] = max_chunks
    if former_names != ():
        settings["former_names"] = former_names  # the class checks them
    return settings
