"""A wire to a server that can be cut when the server has done what was asked, before it is heard.

Nothing else shows whether a step is safe to try again: the commit is there, and nobody was told.
It can hold a statement up too, so that others come between it and the one before.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

SOCKET = ".s.PGSQL.5432"
PARSE = re.compile(rb"P....(__asyncpg_\w+__)\0([^\0]*)\0", re.DOTALL)
BIND = re.compile(rb"B....\0(__asyncpg_\w+__)\0", re.DOTALL)
"""Messages of the protocol that name a prepared statement, as asyncpg does."""
COMMIT = re.compile(rb"Q....COMMIT;", re.DOTALL)
"""The message that ends a transaction of several statements."""


class Wire:
    """Passes on what clients and the server say, until an answer is to be lost.

    Attributes:
        url: Where clients find it.
        lost: How many answers were lost.
        held: Set when a statement or an answer is held up.
        cut_off: Set when a connection was cut by ``cut``.
    """

    def __init__(self, url: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lionpride-wire-")
        (self._host,) = parse_qs(urlsplit(url).query)["host"]
        self.url = url.replace(self._host, self._folder.name)
        self._pattern: re.Pattern[bytes] | None = None
        self.lost = 0
        self._cuts: re.Pattern[bytes] | None = None
        self._cuts_commit = False
        self.cut_off = asyncio.Event()
        self._holds: re.Pattern[bytes] | None = None
        self._keeps: re.Pattern[bytes] | None = None
        self.held = asyncio.Event()
        self._let_go = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._clients: set[asyncio.StreamWriter] = set()

    def hold(self, statement: str) -> None:
        """Hold up the next statement in whose text this pattern is found, until ``let_go``."""
        self._holds = re.compile(statement.encode())
        self.held.clear()
        self._let_go.clear()

    def hold_answer(self, statement: str) -> None:
        """Hold up the next answer to a statement that matches this pattern, until ``let_go``."""
        self._keeps = re.compile(statement.encode())
        self.held.clear()
        self._let_go.clear()

    def let_go(self) -> None:
        """Pass on what is held up."""
        self._let_go.set()

    def lose(self, statement: str) -> None:
        """Lose the next answer to a statement in whose text this pattern is found."""
        self._pattern = re.compile(statement.encode())

    def move_to(self, url: str) -> None:
        """Have clients that connect from now on reach another server, as after a failover."""
        (self._host,) = parse_qs(urlsplit(url).query)["host"]

    def cut(self, statement: str, *, at_commit: bool = False) -> None:
        """Cut the connection of the next such statement while the server works on it.

        The client hears of the cut at once. The server hears of nothing, and goes on.

        Args:
            statement: A pattern that is in the text of the statement.
            at_commit: Cut the COMMIT of the statement's transaction instead.
        """
        self._cuts, self._cuts_commit = re.compile(statement.encode()), at_commit
        self.cut_off.clear()

    def cut_some(self, is_chosen: Callable[[], bool]) -> int:
        """Cut connections, whatever they are at; return how many.

        The clients hear of it at once. A server that is at a commit goes on with it.
        """
        chosen = [client for client in self._clients if is_chosen()]
        for client in chosen:
            client.transport.abort()
        return len(chosen)

    async def serve(self) -> asyncio.Server:
        return await asyncio.start_unix_server(self._pass, Path(self._folder.name, SOCKET))

    async def _pass(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            server, to = await asyncio.open_unix_connection(Path(self._host, SOCKET))
        except OSError:  # the server is away
            back.close()
            return
        texts: dict[bytes, bytes] = {}  # of prepared statements, by name
        cut, keep, at_commit = asyncio.Event(), asyncio.Event(), False
        told = asyncio.create_task(self._answer(server, back, cut, keep))
        self._clients.add(back)
        try:
            while data := await client.read(1 << 16):
                texts |= dict(PARSE.findall(data))
                cuts_now = at_commit and COMMIT.search(data) is not None
                for name in BIND.findall(data):
                    if self._cuts is not None and self._cuts.search(texts.get(name, b"")):
                        self._cuts, at_commit = None, self._cuts_commit
                        cuts_now = not at_commit
                    if self._pattern is not None and self._pattern.search(texts.get(name, b"")):
                        self._pattern = None
                        cut.set()
                    if self._keeps is not None and self._keeps.search(texts.get(name, b"")):
                        self._keeps = None
                        keep.set()
                    if self._holds is not None and self._holds.search(texts.get(name, b"")):
                        self._holds = None
                        self.held.set()
                        await self._let_go.wait()
                to.write(data)
                if cuts_now:
                    cut.set()
                    back.transport.abort()
                    self.cut_off.set()
                    await told  # keep the server's side open until it has answered
        except ConnectionError:  # it was cut
            pass
        finally:
            self._clients.discard(back)
            told.cancel()
            to.close()
            back.close()
            with suppress(OSError):
                await to.wait_closed()

    async def _answer(
        self,
        server: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        cut: asyncio.Event,
        keep: asyncio.Event,
    ) -> None:
        try:
            while data := await server.read(1 << 16):
                if keep.is_set():
                    keep.clear()
                    self.held.set()
                    await self._let_go.wait()
                if cut.is_set():
                    self.lost += 1
                    back.transport.abort()
                    return
                back.write(data)
        except ConnectionError:  # it is gone, and had been asked for more
            pass
        finally:
            back.close()

    async def close(self) -> None:
        """Cut all connections."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._folder.cleanup()


async def cancel_who_waits_for(connection: asyncpg.Connection, table: str) -> None:
    """Cancel the statement that waits for the lock of a table, as soon as one does."""
    while not await connection.fetchval(
        "SELECT count(pg_cancel_backend(pid)) FROM pg_locks "
        "WHERE NOT granted AND relation = $1::regclass",
        table,
    ):
        await asyncio.sleep(0.01)


@asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[Wire]:
    """A wire to the server of a URL, which has it on a Unix socket."""
    wire = Wire(url)
    serving = await wire.serve()
    try:
        yield wire
    finally:
        serving.close()
        await wire.close()
