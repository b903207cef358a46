"""The event types that this process runs, and those that it has met and does not run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from ..errors import NotFoundError
from ..model import registry
from ..model.event_data import EventData

if TYPE_CHECKING:
    from ..rules.queue_position import Unreadable

__all__ = ("RunnableTypes",)

logger = logging.getLogger("lionpride")


class RunnableTypes:
    """Event types of one store in this process; see ``EventTypes`` in ``contract.py``.

    By itself it is for a store that has the event objects: there no event is unreadable.

    Attributes:
        missing: Event types that claims have met and that this process does not run.
        failed_unreadable: See ``EventTypes``.

    Args:
        place: The store, as messages name it.
        changed: Called after a change of the types that are run.
    """

    def __init__(self, place: object, changed: Callable[[], object] | None = None) -> None:
        self.missing: set[str] = set()
        self.failed_unreadable = 0
        self._place = place
        self._changed = changed
        self._types: tuple[type[EventData], ...] = ()  # empty: all types that are defined
        self._warned: set[str] = set()

    def run_only(self, types: Iterable[type[EventData]]) -> None:
        """See ``EventTypes.run_only``."""
        self._types = tuple({*self._types, *types})
        if self._changed is not None:
            self._changed()

    def runs(self, kind: str) -> bool:
        """See ``EventTypes.runs``. It may be called in any thread."""
        try:
            found = registry.find(kind)
        except NotFoundError:
            return False
        return self._includes(found)

    def runs_class(self, found: type[EventData]) -> bool:
        """Return True if this process runs events of a class, or of its latest definition."""
        return self._includes(found) or self.runs(registry.key_of(found))

    def _includes(self, found: type[object]) -> bool:
        return not self._types or issubclass(found, self._types)

    def still_missing(self) -> set[str]:
        """Return the missing types, without those that this process runs by now."""
        for kind in tuple(self.missing):
            if self.runs(kind):
                self.missing.discard(kind)
                self._warned.discard(kind)
        return self.missing

    def warn_of_missing(self) -> bool:
        """Log each missing type once; return True if there are new ones."""
        new = sorted(self.missing - self._warned)
        for kind in new:
            self._warned.add(kind)
            if registry.is_defined(kind):
                problem = "this executor does not run it", "name it in Executor.of(...)"
            else:
                problem = "it is not defined in this process", "import the module that defines it"
            logger.warning(
                "%s: events of class %r stay pending for another worker, since %s: to run them "
                "here, %s",
                *(self._place, kind, *problem),
            )
        return bool(new)

    def fail_unreadable(self) -> None:
        """See ``EventTypes.fail_unreadable``."""

    def unreadable(self) -> tuple[Unreadable, ...]:
        """See ``EventTypes.unreadable``."""
        return ()

    def why_unreadable(self, uid: UUID, kind: str) -> str | None:
        """See ``EventTypes.why_unreadable``."""
        return None
