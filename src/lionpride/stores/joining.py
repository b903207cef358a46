"""What a store offers beside, if it can take part in a transaction of somebody else's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from .contract import Entry
from .terms import Terms

__all__ = ("Joining",)


@runtime_checkable
class Joining(Protocol):
    """Takes events in within a transaction of the caller's own."""

    async def append_within(
        self, connection: Any, entries: Sequence[Entry], terms: Terms | None
    ) -> None:
        """Take events in on a connection, all or none: they are there if its transaction commits.

        The event objects stay free, as nobody knows whether it does.

        Raises:
            ConfigurationError: if it is no connection that the store can use.
            ExistsError: if an id is known, or is there twice.
            OperationError: if the terms ask for what cannot be decided there.
        """
