"""Where the workers of the crash tests meet: one of each kind of store that processes can share."""

from pathlib import Path
from typing import Protocol

from crash.facts import LEASE, Facts
from crash.on_postgres import OnPostgres
from crash.on_sqlite import OnSqlite


class Base(Protocol):
    """A store of its own, with an audit in it.

    Attributes:
        name: Of the kind of store.
        points: Where a worker on it can be made to die.
        path: The file, if it is in one.
    """

    name: str
    points: tuple[str, ...]
    path: Path | None

    def url(self, lease: float = LEASE) -> str:
        """How to open it, with leases of so many seconds."""

    def install(self) -> None:
        """Put the audit into the store, which has its schema."""

    def facts(self) -> Facts:
        """What the store says, on which nobody works any more."""


BASES: dict[str, type[Base]] = {
    "sqlite": OnSqlite,
    "postgres": OnPostgres,
}
"""Makes one, in a folder and of a name."""
