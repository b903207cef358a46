"""The argument STORE of a command: the path of a file, or a URL."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from random import random
from typing import Protocol
from urllib.parse import quote, unquote

from ...drawing.text import one_line
from ...errors import LionprideError
from ...stores.contract import Store
from ...stores.maintenance import Maintenance
from ...stores.open import open_store
from ...stores.url import redact, standard_url
from ..output.streams import warn
from ..usage import UsageError

__all__ = ["DurableStore", "StoreLocation", "locate_store"]

FIRST, LONGEST = 0.5, 4.0  # seconds until a server is tried again, about: twice as long each time
_SQLITE = "sqlite:///"
_SERVERS = ("postgresql://", "postgres://")
_LIKE_A_URL = re.compile(r"://|^\s*(sqlite|postgres\w*)[+:]|\bpassword\s*=", re.IGNORECASE)
_OPTIONS = re.compile(r"\?[a-z_]+=")


class DurableStore(Store, Maintenance, Protocol):
    """A durable store, which may have other queues."""

    async def queues(self) -> list[str]:
        """Return the names of all queues."""


@dataclass(frozen=True, slots=True)
class StoreLocation:
    """The location of a store.

    Attributes:
        name: The argument, without a password.
        url: The URL for ``open_store``.
        path: Its file; None for a database on a server.
    """

    name: str
    url: str
    path: Path | None

    async def is_made(self) -> bool:
        """Return True if the store has tables already; nothing is made to find out.

        A file that cannot be read counts as made: the command that opens it reports the error.

        Raises:
            UsageError: if the server does not answer.
        """
        if self.path is not None and not (self.path.exists() and self._size()):
            return False
        try:
            return await self._version() > 0
        except LionprideError as error:
            if self.path is not None:
                return True
            raise UsageError(one_line(str(error))) from error

    async def _version(self) -> int:
        """Return the version of the tables; 0 if there are none."""
        store = self.open("")
        try:
            return (await store.schema()).found
        finally:
            await store.close()

    async def wait_for_server(self) -> None:
        """Return when the server answers. Say once that it is waited for.

        Raises:
            UsageError: if waiting cannot help: a wrong password, no such database.
        """
        pause, told = FIRST, False
        while self.path is None:
            try:
                await self._version()
                return
            except LionprideError as error:
                why = one_line(str(error))
                if not error.retryable:
                    raise UsageError(why) from error
                if not told:
                    warn(f"lionpride: {why}; waiting for it")
                    told = True
            await asyncio.sleep(pause * (0.5 + random()))  # noqa: S311
            pause = min(2 * pause, LONGEST)

    async def check_made(self) -> None:
        """Refuse what is not there: only ``run``, ``work``, ``import`` and ``migrate`` make it.

        Raises:
            UsageError: if there is no such store, or nothing in it.
        """
        if await self.is_made():
            return
        if self.path is None:
            raise UsageError(
                f"{self.name}: this database has no events, and no tables for them: check "
                "its name and the schema, or create them with: lionpride migrate STORE"
            )
        make = f"create the store with: lionpride migrate {self.name}"
        if self.path.exists():
            if not self._size():
                raise UsageError(f"{self.name} is empty: it has no events; {make}")
            raise UsageError(
                f"{self.name}: this file has no events, and no tables for them: check the path, "
                f"or {make}"
            )
        where = "" if self.path.is_absolute() else f" in {Path.cwd()}"
        raise UsageError(f"{self.name}: no such file{where}; check the path, or {make}")

    def _size(self) -> int:
        return 0 if self.path is None else self.path.stat().st_size

    def open(self, queue: str) -> DurableStore:
        """The store of one queue; nothing is opened or made yet.

        Raises:
            UsageError: if the URL makes no sense.
        """
        try:
            return open_store(self.url, queue=queue, name=queue)  # type: ignore[return-value]
        except LionprideError as error:
            raise UsageError(one_line(str(error))) from error


def locate_store(text: str) -> StoreLocation:
    """Read STORE: the path of a SQLite file, or a URL with options behind a ``?``.

    Raises:
        UsageError: if it is neither.
    """
    url = standard_url(text)
    if url.startswith(_SQLITE):
        path = unquote(url.removeprefix(_SQLITE).partition("?")[0])
        if path:
            return StoreLocation(text, url, Path(path))
    elif url.startswith(_SERVERS):
        return StoreLocation(redact(text), url, None)
    elif url and not _LIKE_A_URL.search(text):
        if _OPTIONS.search(text):
            raise UsageError(
                f"STORE {text!r}: options need the URL: '{_SQLITE}{text}'; a file of that very "
                f"name is '{_SQLITE}{quote(text)}'"
            )
        return StoreLocation(text, _SQLITE + quote(text), Path(text))
    raise UsageError(
        f"STORE {redact(text)!r}: write the path of a file, such as run.db, or its URL: "
        "'sqlite:///run.db' for a path from here, 'sqlite:////abs/run.db' for an absolute one; or "
        "that of a database: 'postgresql://user@host/name'"
    )
