"""The public names."""

from __future__ import annotations

from .engine.event import Event
from .engine.executor import Executor
from .engine.processor import Processor
from .errors import Skip
from .model.element import Element
from .model.execution import EventStatus, Execution
from .model.flow import Flow
from .model.live import Progress
from .model.pile import Pile
from .model.policy import Retry
from .model.progression import Progression
from .model.unset import Unset
from .rules.lifecycle import Transition

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
)
