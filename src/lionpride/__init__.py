"""Events that run by priority, within limits, and are never lost: see ``lionpride.core``."""

from __future__ import annotations

from .core import (
    Defer,
    Element,
    Event,
    EventStatus,
    Execution,
    Executor,
    Flow,
    Limit,
    Pile,
    Processor,
    Progress,
    Progression,
    RateLimited,
    Retry,
    Skip,
    Transition,
    Unset,
)

__version__ = "0.1.0"

__all__ = (
    "Defer",
    "Element",
    "Event",
    "EventStatus",
    "Execution",
    "Executor",
    "Flow",
    "Limit",
    "Pile",
    "Processor",
    "Progress",
    "Progression",
    "RateLimited",
    "Retry",
    "Skip",
    "Transition",
    "Unset",
    "__version__",
)
