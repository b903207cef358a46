"""Events that run by priority, within limits, and are never lost: see ``lionpride.core``."""

from __future__ import annotations

from pathlib import Path as _Path

if (_Path(__file__).parent / "libs").exists():
    raise ImportError(
        "two packages named lionpride are installed into one folder: run 'pip uninstall lionpride "
        "lionpride-core', then install one of them again; lionpride-core has the core of lionpride"
    )

from .core import (  # after the check: a mixture of both has other names
    AccessError,
    AttemptContext,
    ConfigurationError,
    Defer,
    DependencyError,
    Element,
    Event,
    EventCancelledError,
    EventStatus,
    Execution,
    ExecutionError,
    Executor,
    ExistsError,
    Flow,
    Job,
    JobEvent,
    Limit,
    LionprideError,
    LionTimeoutError,
    NotFoundError,
    OperationError,
    Pile,
    Processor,
    Progress,
    Progression,
    QueueFullError,
    RateLimited,
    RestartedError,
    Retry,
    Skip,
    StoreError,
    Then,
    Transition,
    UnknownClassError,
    Unset,
    ValidationError,
    current,
    job,
)

__version__ = "0.1.0"

__all__ = (
    "AccessError",
    "AttemptContext",
    "ConfigurationError",
    "Defer",
    "DependencyError",
    "Element",
    "Event",
    "EventCancelledError",
    "EventStatus",
    "Execution",
    "ExecutionError",
    "Executor",
    "ExistsError",
    "Flow",
    "Job",
    "JobEvent",
    "Limit",
    "LionTimeoutError",
    "LionprideError",
    "NotFoundError",
    "OperationError",
    "Pile",
    "Processor",
    "Progress",
    "Progression",
    "QueueFullError",
    "RateLimited",
    "RestartedError",
    "Retry",
    "Skip",
    "StoreError",
    "Then",
    "Transition",
    "UnknownClassError",
    "Unset",
    "ValidationError",
    "__version__",
    "current",
    "job",
)
