"""The parent's side of the nursery."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]


class Worker:
    """A worker process, as its parent sees it."""

    def __init__(self, nursery: "Nursery", name: int) -> None:
        loop = asyncio.get_running_loop()
        self._nursery = nursery
        self._name = name
        self.started: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.stopped = asyncio.Event()

    @property
    def pid(self) -> int:
        return self.started.result()

    @property
    def alive(self) -> bool:
        return not self.ended.done()

    def send(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.alive:
            self._nursery.say(name=self._name, signal=int(number))

    async def end(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal; its exit code."""
        self.send(number)
        return await self.ended


class Nursery:
    """Starts workers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._workers: dict[int, Worker] = {}
        self._count = 0

    async def start(self, **orders: Any) -> Worker:
        """Start a worker."""
        return await self._fork(orders=orders)

    async def read(self, path: Path) -> int:
        """Have a foreign program read a file; return its exit code."""
        return await asyncio.shield((await self._fork(read=str(path))).ended)

    def set_clock(self, shift: float) -> None:
        """Set the wall clock of the workers so many seconds before the machine's."""
        self.say(clock=shift)

    async def _fork(self, **order: Any) -> Worker:
        self._count += 1
        worker = self._workers[self._count] = Worker(self, self._count)
        self.say(name=self._count, **order)
        await asyncio.shield(worker.started)
        return worker

    def say(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def listen(self) -> None:
        """Pass on what the nursery tells."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            facts = json.loads(line)
            worker = self._workers[facts["name"]]
            if "stopped" in facts:
                worker.stopped.set()
            elif "code" in facts:
                worker.ended.set_result(facts["code"])
            else:
                worker.started.set_result(facts["pid"])


@asynccontextmanager
async def nursery() -> AsyncIterator[Nursery]:
    """A nursery, and its end with all that it has."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crash.nursery"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    made = Nursery(process)
    listening = asyncio.create_task(made.listen())
    try:
        yield made
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
        await listening
