"""Optional protocol of a store with transactional append."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from .contract import Entry
from .terms import Terms

__all__ = ("Joining",)


@runtime_checkable
class Joining(Protocol):
    """Appends events within a transaction of the caller."""

    async def append_within(
        self, connection: Any, entries: Sequence[Entry], terms: Terms | None
    ) -> None:
        """Append events over a connection, all or none; they exist once its transaction commits.

        The event objects do not belong to the store afterwards, since the commit is not known.

        Raises:
            ConfigurationError: if the store cannot use the connection.
            ExistsError: if an id is known, or given twice.
            OperationError: if the terms cannot be decided within the transaction.
        """
