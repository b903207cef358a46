"""Events that run by priority, within limits, and are never lost: see ``lionpride.core``."""

from __future__ import annotations

from .core import (
    Element,
    Event,
    EventStatus,
    Execution,
    Executor,
    Flow,
    Pile,
    Processor,
    Progress,
    Progression,
    Retry,
    Skip,
    Transition,
    Unset,
)

__version__ = "0.1.0"

__all__ = (
    "Element",
    "Event",
    "EventStatus",
    "Execution",
    "Executor",
    "Flow",
    "Pile",
    "Processor",
    "Progress",
    "Progression",
    "Retry",
    "Skip",
    "Transition",
    "Unset",
    "__version__",
)
