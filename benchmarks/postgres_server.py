"""The PostgreSQL server of one run, with a new database for each measurement."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from benchmarks.isolate import MeasurementError
from tools.postgres_server import Server, ServerError

SETTINGS = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "2GB"}
"""Every commit is on disk. The two sizes suit a small machine."""


@dataclass
class BenchmarkServer:
    """A server whose databases are created and dropped."""

    server: Server
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def postmaster(self) -> int | None:
        """The parent of the server's processes, to measure their use of the processors."""
        return self.server.postmaster.pid if self.server.postmaster else None

    @contextmanager
    def database(self) -> Iterator[str]:
        """Create a database, and return its URL; everything written before is on disk."""
        name = f"bench_{next(self.numbers)}"
        execute(self.server.url, f"CREATE DATABASE {name}", "CHECKPOINT")
        try:
            yield self.server.url.replace("/postgres?", f"/{name}?")
        finally:
            execute(self.server.url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def serve(folder: Path) -> Iterator[BenchmarkServer]:
    """Start a server next to a folder.

    Raises:
        MeasurementError: if it does not start.
    """
    try:
        server = Server(SETTINGS, folder.parent)
    except ServerError as error:
        raise MeasurementError(f"there is no PostgreSQL: {error}") from error
    with server:
        yield BenchmarkServer(server)


def execute(url: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""

    async def run() -> None:
        import asyncpg

        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())
