"""Where the workers of the crash tests meet: one of each kind of store that processes can share."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from crash.facts import Facts
from crash.on_sqlite import OnSqlite


class Base(Protocol):
    """A store of its own, with an audit in it."""

    def url(self, lease: float | None = None) -> str:
        """How to open it, with leases of so many seconds."""

    def install(self) -> None:
        """Put the audit into the store, which has its schema."""

    def facts(self) -> Facts:
        """What the store says, on which nobody works any more."""


BASES: dict[str, Callable[[Path, str], Base]] = {"sqlite": OnSqlite}
"""Makes one, in a folder and of a name."""
