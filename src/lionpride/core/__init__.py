"""The public names, and the modules under which the original package has them."""

from __future__ import annotations

from ..engine.event import Event
from ..engine.executor import Executor
from ..engine.processor import Processor
from ..errors import RateLimited, Skip
from ..model.element import Element
from ..model.execution import EventStatus, Execution
from ..model.flow import Flow
from ..model.live import Progress
from ..model.pile import Pile
from ..model.policy import Retry
from ..model.progression import Progression
from ..model.unset import Unset
from ..rules.lifecycle import Defer
from ..rules.limits import Limit
from ..rules.transition import Transition

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
)
