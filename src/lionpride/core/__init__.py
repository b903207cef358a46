"""The public names, and the modules under which the original package has them."""

from __future__ import annotations

from ..engine.attempt_context import AttemptContext, current
from ..engine.batch import Batch
from ..engine.batch_end import BatchEnd
from ..engine.event import Event
from ..engine.executor import Executor
from ..engine.job import Job, JobEvent, job
from ..engine.processor import Processor
from ..errors import (
    AccessError,
    ConfigurationError,
    DependencyError,
    EventCancelledError,
    ExecutionError,
    ExistsError,
    LionprideError,
    LionTimeoutError,
    NotFoundError,
    OperationError,
    QueueFullError,
    RateLimited,
    RestartedError,
    Skip,
    StoreError,
    UnknownClassError,
    ValidationError,
)
from ..model.collections.flow import Flow
from ..model.collections.pile import Pile
from ..model.collections.progression import Progression
from ..model.continuation import Then
from ..model.element import Element
from ..model.execution import EventStatus, Execution
from ..model.progress import Progress
from ..model.recurrence import Cron, Every
from ..model.retry_policy import Retry
from ..model.schedule import Schedule
from ..model.unset import Unset
from ..rules.limits.limit import Limit
from ..rules.state_machine import Defer
from ..rules.transition import Transition

__all__ = (
    "AccessError",
    "AttemptContext",
    "Batch",
    "BatchEnd",
    "ConfigurationError",
    "Cron",
    "Defer",
    "DependencyError",
    "Element",
    "Event",
    "EventCancelledError",
    "EventStatus",
    "Every",
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
    "Schedule",
    "Skip",
    "StoreError",
    "Then",
    "Transition",
    "UnknownClassError",
    "Unset",
    "ValidationError",
    "current",
    "job",
)
