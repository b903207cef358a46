"""Event types of a store in memory, which has the events themselves and builds none."""

from __future__ import annotations

from uuid import UUID

from ...rules.standing import Unreadable
from ..event_types import RunnableTypes

__all__ = ("MemoryEventTypes",)


class MemoryEventTypes(RunnableTypes):
    """Event types of a store in memory. No event is unreadable there."""

    failed_unreadable = 0

    def fail_unreadable(self) -> None:
        """See ``EventTypes.fail_unreadable``."""

    def unreadable(self) -> tuple[Unreadable, ...]:
        """See ``EventTypes.unreadable``."""
        return ()

    def why_unreadable(self, uid: UUID, kind: str) -> str | None:
        """See ``EventTypes.why_unreadable``."""
        return None
