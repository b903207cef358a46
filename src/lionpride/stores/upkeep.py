"""What a store offers beside, if it outlives its processes: its schema, and what ails it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

__all__ = ("DAMAGE", "Finding", "Level", "Schema", "Upkeep")

DAMAGE: Final = "damage"
"""The ``check`` of a finding that makes all other answers of a store worthless."""

Level: TypeAlias = Literal["wrong", "slow", "note"]
"""Whether events are lost or stand still, whether they are slow, or whether it is good to know."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The version of a store's tables.

    Attributes:
        found: What is there; 0 for nothing.
        newest: What this version of the library works with.
        scripts: What would be run to bring the one to the other, in order: the version that each
            leads to, and its statements.
    """

    found: int
    newest: int
    scripts: tuple[tuple[int, str], ...] = ()

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to be done."""
        return self.found == self.newest


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        check: What was looked at, in a word, such as ``"log"``.
        level: How bad it is.
        what: What was found.
        remedy: What to do.
    """

    check: str
    level: Level
    what: str
    remedy: str


@runtime_checkable
class Upkeep(Protocol):
    """Can be brought up to date, and examined; every durable store of this library can."""

    async def schema(self) -> Schema:
        """The version of what is there; nothing is made or changed.

        Raises:
            StoreError: if it is not this library's, or of a version that is not known here yet.
        """

    async def upgrade(self) -> Schema:
        """Make the schema, or bring it up to date: all of it or nothing; what it was before.

        Raises:
            StoreError: as ``schema``, or if it cannot be written.
        """

    async def examine(self) -> list[Finding]:
        """What is wrong or slow with the place of the events, whatever the queue.

        Raises:
            StoreError: if it cannot be read.
        """
