"""Homes for stores in PostgreSQL: a schema each, which is emptied and used again.

To empty one takes half a millisecond, and to make one twenty.
"""

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Coroutine
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from weakref import finalize

import asyncpg

from lionpride.stores.postgres.migrations import check_tables
from lionpride.stores.postgres.tables import TABLES, TableNames

sys.path.insert(0, str(Path(__file__).parents[2]))

from tools.postgres_server import for_tests

T = TypeVar("T")


class Aside:
    """A connection in a thread, for those who cannot wait for it in their own loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="homes", daemon=True).start()
        self.connection: Any = self.do(asyncpg.connect(for_tests()))
        atexit.register(self.leave)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def leave(self) -> None:
        for schema in Home.made:
            self.do(self.connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'))


aside = lru_cache(Aside)


class Home:
    """A schema with empty tables, for as long as anybody has this.

    Args:
        new: Whether nothing was ever in them, of which the server may have kept statistics.
    """

    made: ClassVar[list[str]] = []
    free: ClassVar[list[str]] = []

    def __init__(self, new: bool = False) -> None:
        self.url = for_tests()
        one = aside()
        if self.free and not new:
            self.schema = self.free.pop()
            one.do(one.connection.execute(emptied(TableNames(self.schema, ""))))
        else:
            self.schema = f"test_{os.getpid()}_{len(self.made)}"
            self.made.append(self.schema)
            one.do(check_tables(one.connection, TableNames(self.schema, "")))
        finalize(self, self.free.append, self.schema)


def emptied(names: TableNames) -> str:
    """What makes all tables as new."""
    parts = [f"DELETE FROM {{{table}}}" for table in TABLES if table != "version"]
    parts += [
        f"ALTER TABLE {{{table}}} ALTER COLUMN number RESTART" for table in ("event", "queue")
    ]
    return names.fill("; ".join(parts))
