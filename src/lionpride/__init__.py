"""Events that run by priority, within limits, and are never lost: see ``lionpride.core``."""

from __future__ import annotations

from pathlib import Path as _Path

if (_Path(__file__).parent / "libs").exists():
    raise ImportError(
        "two packages named lionpride are installed into one folder: run 'pip uninstall lionpride "
        "lionpride-core', then install one of them again; lionpride-core has the core of lionpride"
    )

from .core import (  # after the check: a mixture of both has other names
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
