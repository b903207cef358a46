"""Import path of the original package: ``lionpride.core.event``."""

from ..engine.event import Event
from ..model.execution import EventStatus, Execution

__all__ = ("Event", "EventStatus", "Execution")
