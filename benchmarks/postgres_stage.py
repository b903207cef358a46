"""The PostgreSQL server of one run of the benchmark, with a database for each measurement."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks import huge_pages
from benchmarks.isolate import MeasurementError
from tools.postgres_server import Server, ServerError

SETTINGS = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "2GB"}
"""Every commit is on disk. The two sizes are what a small machine of its own would be given."""

SHARED = 320
"""MB that the server's shared memory takes with that, and some more."""


@dataclass
class Stage:
    """A server, and databases that are made and dropped."""

    server: Server
    numbers: Iterator[int]

    @property
    def postmaster(self) -> int | None:
        """The process whose children serve, to see what they use."""
        return self.server.postmaster.pid if self.server.postmaster else None

    @property
    def memory(self) -> str:
        """What its shared memory is made of."""
        ((status,),) = ask_for(self.server.url, "SHOW huge_pages_status")
        return f"the server's shared memory is in huge pages: {status}."

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new database; what was written before is on disk by then."""
        name = f"bench_{next(self.numbers)}"
        tell(self.server.url, f"CREATE DATABASE {name}", "CHECKPOINT")
        try:
            yield self.server.url.replace("/postgres?", f"/{name}?")
        finally:
            tell(self.server.url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Start a server beside a folder, which is root's own if root measures.

    Raises:
        MeasurementError: if it does not start.
    """
    with huge_pages.set_apart(SHARED):
        try:
            server = Server(SETTINGS, folder.parent)
        except ServerError as error:
            raise MeasurementError(f"there is no PostgreSQL: {error}") from error
        with server:
            yield Stage(server, count())


def tell(url: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    asyncio.run(execute(url, statements))


async def execute(url: str, statements: tuple[str, ...]) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def ask_for(url: str, question: str) -> list[tuple]:
    """The rows of an answer."""
    return asyncio.run(fetch(url, question))


async def fetch(url: str, question: str) -> list[tuple]:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(question)]
    finally:
        await connection.close()
