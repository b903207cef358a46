"""What a store offers beside, if it can take part in a transaction of somebody else's."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from ..model.work import Work
from .terms import Terms

__all__ = ("Joining",)


@runtime_checkable
class Joining(Protocol):
    """Takes events in within a transaction of the caller's own."""

    async def append_within(
        self, connection: Any, event: Work, priority: float, terms: Terms | None
    ) -> None:
        """Take an event in on a connection: it is there if its transaction commits.

        The event object stays free, as nobody knows whether it does.

        Raises:
            ConfigurationError: if it is no connection that the store can use.
            ExistsError: if its id is known.
            OperationError: if the terms ask for what cannot be decided there.
        """
