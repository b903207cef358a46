"""Arguments of ``Executor.of``: their checks, and the classes made from them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from ..errors import ConfigurationError
from ..rules.limits.limit import Limit
from ..rules.state_machine import Defer
from .event import Event
from .processor import Processor

if TYPE_CHECKING:
    from .executor import Executor

__all__ = ("Permission", "Settings", "checked_types", "executor_class", "processor_config")

Permission: TypeAlias = Callable[..., Awaitable[bool | Defer]]
"""An async function that admits or denies an event: see ``Processor.request_permission``."""


class Settings(TypedDict, total=False):
    """Settings of the processor, as ``Executor.of`` takes them; see ``Processor``."""

    queue_capacity: int | None
    capacity_refresh_time: float
    concurrency_limit: int
    max_queue_size: int | None
    denial_backoff: float
    blocked_after: float | None
    limits: Iterable[Limit] | None
    scope: Literal["worker", "fleet"]
    fail_unreadable: bool


def checked_types(given: tuple[Any, ...]) -> tuple[type[Event], ...]:
    """Return the event types that were passed to ``Executor.of``.

    Raises:
        ConfigurationError: if there are none, or one is not a class of events.
    """
    if not given:
        raise ConfigurationError("Executor.of() needs an event type, as in Executor.of(Square)")
    for each in given:
        if isinstance(each, type) and issubclass(each, Event):
            continue
        remedy = "name subclasses of Event, or functions under @job"
        if inspect.isroutine(each):
            remedy = f"write `@job` above `def {each.__name__}`"
        elif isinstance(each, Event):
            remedy = f"give its class, {type(each).__name__}, and append the event"
        raise ConfigurationError(f"Executor.of() got {each!r}, which is no event type: {remedy}")
    return tuple(dict.fromkeys(given))


def processor_config(
    base: type[Executor], own: Mapping[str, Any] | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the processor's config from the keywords of ``Executor.of``.

    Args:
        base: ``Executor``, or a subclass.
        own: ``processor_config``, for the settings of a Processor subclass.
        settings: The keywords that ``Settings`` lists.

    Raises:
        ConfigurationError: for an unknown keyword, with the most similar name; or for a setting
            that is given twice.
    """
    known = Settings.__annotations__
    for name in settings:
        if name not in known:
            keywords = [*known, *inspect.signature(base.of).parameters]
            close = difflib.get_close_matches(name, keywords, n=1)
            hint = f"did you mean {close[0]}=?" if close else f"it takes {', '.join(known)}"
            raise ConfigurationError(f"Executor.of() has no setting {name!r}: {hint}")
    config = dict(own or {})
    if twice := sorted(config.keys() & settings.keys()):
        raise ConfigurationError(
            f"Executor.of() got {twice[0]!r} as a keyword and in processor_config: give it once"
        )
    return config | dict(settings)


def executor_class(
    base: type[Executor],
    event_types: tuple[type[Event], ...],
    processor: type[Processor],
    permission: Permission | None,
) -> type[Executor]:
    """Return a subclass of an executor class, with a processor class for the event types.

    Args:
        base: ``Executor``, or a subclass.
        event_types: At least one.
        processor: ``Processor``, or a subclass.
        permission: Overrides ``request_permission``; None keeps the processor's own.

    Raises:
        ConfigurationError: if ``processor`` is not a Processor class, ``permission`` is not an
            async function, or both define the admission check.
    """
    kind: object = processor
    if not isinstance(kind, type) or not issubclass(kind, Processor):
        raise ConfigurationError(f"processor must be a subclass of Processor, not {processor!r}")
    first, name = event_types[0], "".join(each.__name__ for each in event_types[:3])
    place = {"__module__": first.__module__}
    event_type = first if len(event_types) == 1 else Event
    members: dict[str, Any] = {"event_type": event_type, **place}
    if permission is not None:
        members["request_permission"] = _asking(processor, permission)
    made = type(f"{name}Processor", (processor,), members)
    own = {"processor_type": made, "named_types": event_types, **place}
    return type(f"{name}{base.__name__}", (base,), own)


def _asking(processor: type[Processor], permission: Permission) -> Permission:
    """Return a ``request_permission`` that calls a function.

    Raises:
        ConfigurationError: if it is not an async function, or the processor overrides the method.
    """
    asked: Any = permission
    is_async = inspect.iscoroutinefunction(asked)
    if not (is_async or inspect.iscoroutinefunction(getattr(asked, "__call__", None))):  # noqa: B004
        raise ConfigurationError(
            f"permission must be an async function, not {permission!r}: write `async def`"
        )
    if processor.request_permission is not Processor.request_permission:
        raise ConfigurationError(
            f"permission= and {processor.__name__}.request_permission both define the "
            "admission check: leave one of them out"
        )

    async def request_permission(_self: Processor, *_: Any, **request: Any) -> bool | Defer:
        return await permission(**request)

    return request_permission
