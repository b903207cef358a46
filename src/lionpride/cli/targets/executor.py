"""The executor of a command line: made of a target, with its limits, over its store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from ...core import Executor
from ...drawing.text import one_line, trouble
from ...engine.processor import GRACE
from ...errors import LionprideError
from ..grammar import F, setting
from ..store.location import StoreLocation
from ..usage import UsageError, grace_seconds, positive_seconds, whole_number
from .target import Target

__all__ = ["Limits", "build", "grace_option", "limit_options", "limits_of", "start"]

Limits: TypeAlias = Mapping[str, Any]
"""Those settings of a processor that the command line gives."""


def limit_options(function: F) -> F:
    """Add the options that limit what starts: `concurrency`, `capacity` and `refresh`."""
    concurrency = setting(
        "--concurrency",
        metavar="N",
        type=whole_number,
        help="maximum number of events that run at once",
    )
    capacity = setting(
        "--capacity",
        metavar="N",
        type=whole_number,
        help="maximum number of starts in any refresh time",
    )
    refresh = setting(
        "--refresh", metavar="S", type=positive_seconds, help="the refresh time, in seconds"
    )
    return concurrency(capacity(refresh(function)))


def grace_option(function: F) -> F:
    """Add the option that limits how long what runs may take to finish."""
    text = "on a stop, running events have S seconds to finish before they are interrupted"
    add = setting(
        "--grace",
        metavar="S",
        type=grace_seconds,
        default=GRACE,
        help=f"{text} (default: {GRACE:g})",
    )
    return add(function)


def limits_of(
    concurrency: int | None = None, capacity: int | None = None, refresh: float | None = None
) -> Limits:
    """Return the limits that the options give.

    Raises:
        UsageError: if they make no sense together.
    """
    if refresh is not None and capacity is None:
        raise UsageError("--refresh does nothing without --capacity: say how many to start in it")
    limits = {
        "concurrency_limit": concurrency,
        "queue_capacity": capacity,
        "capacity_refresh_time": refresh,
    }
    return {key: value for key, value in limits.items() if value is not None}


def build(
    target: Target,
    limits: Limits,
    location: StoreLocation | None,
    queue: str | None,
    grace: float = GRACE,
) -> Executor:
    """Make the executor, with the limits and the grace time that were given.

    Raises:
        UsageError: if it cannot be made so.
    """
    how: dict[str, Any] = dict(target.made_with)
    if limits:
        how["processor_config"] = {**how.get("processor_config", {}), **limits}
    if location is not None:
        how["store"] = location.url
        if queue is not None:
            how["queue"] = queue
    if grace != GRACE:
        how["grace"] = grace
    try:
        return target.executor_type(**how)
    except Exception as error:  # the user's own class may raise anything
        given = " ".join(f"{key}={value}" for key, value in limits.items())
        made = f"made with {given}" if given else "made"
        why = one_line(str(error)) if isinstance(error, LionprideError) else trouble(error)
        name = target.executor_type.__name__
        for key in ("store", "queue", "grace"):
            if key in how and isinstance(error, TypeError) and f"argument '{key}'" in str(error):
                why = f"let __init__ of {name} take `{key}`, and hand it to super().__init__()"
        raise UsageError(f"{target.name} cannot be {made}: {why}") from error


async def start(target: Target, executor: Executor, location: StoreLocation | None) -> None:
    """Start the executor. Its store is opened by the first step that needs it.

    Raises:
        UsageError: if one of them cannot be.
    """
    try:
        await executor.start()
    except Exception as error:  # the user's own processor may raise anything
        raise UsageError(f"{target.name} cannot be started: {trouble(error)}") from error
    try:
        await executor.store.counts()
    except (LionprideError, OSError) as error:
        raise UsageError(f"--store {location and location.name}: {error}") from error
