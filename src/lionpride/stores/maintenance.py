"""Protocol ``Maintenance``: the schema of a durable store, and its health."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

__all__ = ("DAMAGE", "Finding", "Level", "Maintenance", "SchemaVersion")


DAMAGE: Final = "damage"
"""The ``check`` of a finding that makes all other findings unreliable."""

Level: TypeAlias = Literal["wrong", "slow", "note"]
""""wrong": events are lost or stuck; "slow": they are slow; "note": for information."""


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """The version of a store's tables.

    Attributes:
        found: The version of the tables; 0 if there are none.
        newest: The version that this library needs.
        scripts: The scripts of an upgrade in order, each as a version and its statements.
    """

    found: int
    newest: int
    scripts: tuple[tuple[int, str], ...] = ()

    @property
    def is_current(self) -> bool:
        """True if no upgrade is needed."""
        return self.found == self.newest


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of a store.

    Attributes:
        check: The subject in a word, such as ``"log"``.
        level: The severity.
        what: The problem.
        remedy: The action that solves it.
    """

    check: str
    level: Level
    what: str
    remedy: str


@runtime_checkable
class Maintenance(Protocol):
    """Maintenance of a durable store: schema upgrades and health checks."""

    async def schema(self) -> SchemaVersion:
        """Return the version of the tables without changing anything.

        Raises:
            StoreError: if they belong to another program or have a newer version.
        """

    async def upgrade(self) -> SchemaVersion:
        """Create or upgrade the schema in one transaction; return the version before.

        Raises:
            StoreError: as ``schema``, or if it cannot be written.
        """

    async def examine(self) -> list[Finding]:
        """Return the problems of the database, regardless of the queue.

        Raises:
            StoreError: if it cannot be read.
        """
