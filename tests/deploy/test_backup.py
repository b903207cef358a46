"""The commands of the documents that make and restore a backup, run as they are written."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import pytest
from documents import ROOT, blocks_of
from held import add, held, held_events

from lionpride import EventStatus, Executor
from lionpride.stores.open import open_store
from tools.postgres_server import Server

RUNBOOK = ROOT / "docs" / "howto" / "runbook.md"
STORES = ROOT / "docs" / "reference" / "stores.md"
DATABASE = "postgresql://app@db.example.org/app"
"""The database of the documents."""


def block(path: Path, command: str, number: int = 0) -> str:
    """A block of a document that has a command: the first one, or the next ones."""
    return [each.text for each in blocks_of(path) if command in each.text][number]


class Site:
    """A store, and the folder in which an operator types commands.

    Args:
        folder: The folder; a file has its place there.
        server: The server of a database; None for a file.
    """

    def __init__(self, folder: Path, server: Server | None) -> None:
        self.folder = folder
        self.server = server
        self.store = f"sqlite:///{folder}/run.db" if server is None else server.url
        self.worker: asyncio.subprocess.Process | None = None
        programs = folder / "programs"
        programs.mkdir()
        systemctl = programs / "systemctl"
        systemctl.write_text('#!/bin/sh\n[ "$1" = start ] || kill -KILL "$WORKER"\n')
        systemctl.chmod(0o755)
        self.path = [programs, Path(sys.executable).parent]
        if server is not None:
            self.path.append(server.programs)

    def executor(self) -> Executor:
        """An executor that appends and asks."""
        return Executor.of(held, add, queue="crawl", store=self.store)

    async def start_worker(self) -> None:
        self.worker = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "lionpride",
                "work",
                str(Path(__file__).with_name("crawler.py")),
            ),
            *("--store", self.store, "--quiet"),
            env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        )

    async def stop_worker(self) -> None:
        if self.worker is not None and self.worker.returncode is None:
            self.worker.send_signal(signal.SIGTERM)
            await self.worker.wait()

    async def run(self, text: str, status: int = 0) -> str:
        """Run a block of a document, and return its output."""
        if self.server is not None:
            text = text.replace(DATABASE, self.server.url)
        path = os.pathsep.join([*map(str, self.path), os.environ["PATH"]])
        worker = {} if self.worker is None else {"WORKER": str(self.worker.pid)}
        done = await asyncio.create_subprocess_exec(
            *("bash", "-eu", "-c", text),
            cwd=self.folder,
            env={**os.environ, **worker, "PATH": path, "LIONPRIDE_STORE": self.store},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await done.communicate())[0].decode()
        assert done.returncode == status, output
        return output


@asynccontextmanager
async def site_of(kind: str, folder: Path) -> AsyncIterator[Site]:
    """A site, whose worker is stopped at the end."""
    with nullcontext() if kind == "sqlite" else Server({}) as server:
        site = Site(folder, server)
        try:
            yield site
        finally:
            await site.stop_worker()


async def wrong(site: Site) -> set[str]:
    """The kinds of problems that `doctor` reports."""
    output = await site.run(block(RUNBOOK, "doctor", -1), status=1)
    return {line.split(maxsplit=2)[1].strip(":") for line in output.splitlines() if line[:1] != " "}


KINDS = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


@pytest.mark.guard(120)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_restored_store_continues(kind: str, tmp_path: Path) -> None:
    async with site_of(kind, tmp_path) as site, held_events() as (port, connections):
        executor = site.executor()
        finished = await executor.append(add(1, 1))
        running = await executor.append(held(port))
        pending = await executor.append(add(2, 2))
        await site.start_worker()
        connection = await connections.get()
        assert await executor.result(finished) == 2
        await site.run(block(RUNBOOK, "# " + KINDS[kind], 0))

        connection.close()
        late = await executor.append(add(3, 3))
        assert await executor.result(late) == 6
        await executor.store.close()
        await site.run(block(RUNBOOK, "systemctl stop"))
        assert site.worker is not None
        assert await site.worker.wait() == -signal.SIGKILL
        await site.run(block(RUNBOOK, "# " + KINDS[kind], 1))
        assert await wrong(site) == {"worker", "leases"}

        executor = site.executor()
        assert await executor.store.get([late.id]) == [None]
        new = await executor.append(add(4, 4))
        await site.start_worker()
        (await connections.get()).close()
        for event, result in ((running, "released"), (pending, 4), (new, 8), (finished, 2)):
            assert await executor.result(event.id) == result
        ids = [each.id for each in (finished, running, pending, new)]
        records = [each for each in await executor.store.get(ids) if each is not None]
        numbers = [each.number for each in records]
        assert numbers == sorted(set(numbers))
        assert [each.attempt for each in records] == [1, 2, 1, 1]
        await executor.store.close()


@pytest.mark.guard(120)
@pytest.mark.parametrize("kind", KINDS)
async def test_an_export_continues_in_another_store(kind: str, tmp_path: Path) -> None:
    async with site_of(kind, tmp_path) as site, held_events() as (port, connections):
        executor = site.executor()
        running = await executor.append(held(port))
        pending = await executor.append(add(2, 2))
        await site.start_worker()
        await connections.get()
        await site.run(block(RUNBOOK, "lionpride export"))
        await executor.store.close()
        await site.run(block(RUNBOOK, "systemctl stop"))
        async with Executor.of(
            held, add, queue="crawl", store=f"sqlite:///{tmp_path}/copy.db"
        ) as copy:
            (await connections.get()).close()
            assert await copy.result(running.id) == "released"
            assert await copy.result(pending.id) == 4


@pytest.mark.guard(120)
async def test_a_file_can_be_copied_while_a_worker_runs(tmp_path: Path) -> None:
    async with site_of("sqlite", tmp_path) as site, held_events() as (port, connections):
        executor = site.executor()
        finished = await executor.append(add(1, 1))
        await executor.append(held(port))
        await executor.append(add(2, 2))
        await site.start_worker()
        connection = await connections.get()
        await executor.result(finished)
        await site.run(block(STORES, '".backup'))
        await site.run("lionpride import run.jsonl imported.db")
        connection.close()
        await executor.store.close()
        await site.stop_worker()
    for name, states in (("copy", (1, 1)), ("compact", (1, 1)), ("imported", (2, 0))):
        store = open_store(f"sqlite:///{tmp_path}/{name}.db", queue="crawl", name=name)
        counts = await store.counts()
        await store.close()
        assert counts[EventStatus.COMPLETED] == 1
        assert (counts[EventStatus.PENDING], counts[EventStatus.PROCESSING]) == states, name
