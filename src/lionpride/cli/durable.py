"""What STORE names on a command line: a path or a URL, and the queues in it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote, unquote

from ..core import EventStatus
from ..drawing.text import one_line
from ..errors import LionprideError
from ..stores.contract import Store
from ..stores.open import open_store
from ..stores.record import Record
from ..stores.roster import Roster
from .streams import warn
from .usage import UsageError

__all__ = [
    "Commands",
    "Durable",
    "Place",
    "Shelf",
    "add_command",
    "add_store",
    "finish",
    "place_of",
    "told_counts",
]

Commands = Any  # argparse names the type of add_subparsers() only in private

_SQLITE = "sqlite:///"


class Durable(Store, Roster, Protocol):
    """A store that outlives the process, and may hold other queues beside its own."""

    async def queues(self) -> list[str]:
        """The names of all queues."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is.

    Attributes:
        name: As it was given.
        url: What ``open_store`` takes.
        path: The file of it.
    """

    name: str
    url: str
    path: Path

    def exists(self) -> bool:
        """Whether there is something already."""
        return self.path.exists()

    def check_exists(self) -> None:
        """Refuse what is not there: only ``run`` and ``import`` make a file.

        Raises:
            UsageError: if there is no such file, or nothing in it.
        """
        if not self.path.exists():
            where = "" if self.path.is_absolute() else f" in {Path.cwd()}"
            raise UsageError(f"{self.name}: no such file{where}; check the path")
        if self.path.is_file() and self.path.stat().st_size == 0:
            raise UsageError(f"{self.name} is empty: no run has been kept in it")

    def open(self, queue: str) -> Durable:
        """The store of one queue; nothing is opened or made yet.

        Raises:
            UsageError: if the URL makes no sense.
        """
        try:
            return open_store(self.url, queue=queue, name=queue)  # type: ignore[return-value]
        except LionprideError as error:
            raise UsageError(one_line(str(error))) from error


def place_of(text: str) -> Place:
    """Read STORE: the path of a SQLite file, or its URL with options behind a ``?``.

    Raises:
        UsageError: if it is neither.
    """
    if text.startswith(_SQLITE):
        path = unquote(text.removeprefix(_SQLITE).partition("?")[0])
        if path:
            return Place(text, text, Path(path))
    elif text and "://" not in text and not text.startswith("sqlite:"):
        return Place(text, _SQLITE + quote(text), Path(text))
    raise UsageError(
        f"STORE {text!r}: write the path of a file, such as run.db, or its URL: "
        "'sqlite:///run.db' for a path from here, 'sqlite:////abs/run.db' for an absolute one"
    )


class Shelf:
    """The queues of a store that is there already; entered while it is open.

    Args:
        place: Where it is.
        only: The one queue that is asked for; None: all.
    """

    def __init__(self, place: Place, only: str | None = None) -> None:
        self.place = place
        self.queues: list[str] = []
        self._only = only
        self._stores: dict[str, Durable] = {}

    async def __aenter__(self) -> Self:
        """Open it.

        Raises:
            UsageError: if it is not there, cannot be opened, or has no such queue.
        """
        self.place.check_exists()
        try:
            self.queues = await self.of(self._only or "").queues()
        except LionprideError as error:
            await self.close()
            raise UsageError(one_line(str(error))) from error
        if self._only is not None:
            if self._only not in self.queues:
                await self.close()
                known = ", ".join(map(one_line, self.queues)) or "none"
                raise UsageError(f"--queue {self._only}: {self.place.name} has {known}")
            self.queues = [self._only]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def of(self, queue: str) -> Durable:
        """The store of one of the queues."""
        if queue not in self._stores:
            self._stores[queue] = self.place.open(queue)
        return self._stores[queue]

    async def close(self) -> None:
        """Give back what is open."""
        for store in self._stores.values():
            await store.close()
        self._stores.clear()

    async def page(
        self, status: EventStatus | None, after: int, limit: int, queue: str | None = None
    ) -> list[Record]:
        """The next records of all queues, or of one, by arrival number."""
        pages = [
            await self.of(each).events(status, after=after, limit=limit)
            for each in (self.queues if queue is None else [queue])
        ]
        return sorted((one for page in pages for one in page), key=lambda one: one.number)[:limit]


def told_counts(counts: Mapping[EventStatus, int]) -> str:
    """Counts in words: 200 completed, 3 pending."""
    return ", ".join(f"{number:,} {status.value}" for status, number in counts.items() if number)


def add_command(
    commands: Commands,
    name: str,
    work: Callable[[argparse.Namespace], Coroutine[Any, Any, int]],
    *,
    summary: str,
    description: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    """Add a command that looks at a store which is there, or changes what is in it."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, epilog=epilog
    )
    add_store(parser)
    parser.add_argument("--queue", metavar="Q", help="only one queue; by default all")
    parser.set_defaults(run=lambda options: finish(work(options)))
    return parser


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the place of the store to a command's arguments."""
    parser.add_argument("store", metavar="STORE", help="a file, run.db, or sqlite:///run.db")


def finish(work: Coroutine[Any, Any, int]) -> int:
    """Run a command to its end; its exit status, 130 after Ctrl-C."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        warn("lionpride: interrupted")
        return 130
