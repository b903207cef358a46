"""Supervisor: it starts processes that do the work, replaces those that end, and stops them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from ..drawing.text import duration
from ..errors import LionprideError
from ..stores.contract import Store
from ..stores.open import open_store
from .recycling import RECYCLED
from .supervisor_link import VARIABLE

__all__ = ["BLOCKED_AFTER", "ChildProcess", "Supervisor"]

BLOCKED_AFTER: Final = 10.0
"""Seconds without a report, after which the event loop of a process counts as blocked."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds before a process that died soon after its start is started again: twice as long each."""

STABLE_AFTER: Final = 60.0
"""Seconds that a process has to run, so that its end counts as the first one again."""

_USAGE_ERROR: Final = 2
"""Exit status of a process that could not carry out its command line."""

_KILL_AFTER_GRACE: Final = 6.0
"""Seconds after the grace time until a process is killed; it ends itself two seconds earlier."""

_KILL_SOON: Final = 4.0
"""Seconds after a second signal until a process is killed."""

_CLEAN_EXITS: Final = (0, RECYCLED, -signal.SIGTERM)
"""Exit statuses of processes that have interrupted nothing; SIGTERM itself ends one that has not
begun to work, or has finished."""

_LAST_REPORT: Final = 1.0
"""Seconds for which the last report of an ended process is awaited."""

_MAX_REPORT: Final = 64 * 2**20

logger = logging.getLogger("lionpride.worker")


@dataclass(slots=True)
class ChildProcess:
    """A process that works.

    Attributes:
        number: Its place, from 1 on; a replacement has the number of the one before it.
        process: The process.
        started_at: When it was started, by the clock of the event loop.
        reported_at: When it reported last; None before its first report.
        report: Its last report.
        metrics: The last metrics that it reported.
    """

    number: int
    process: asyncio.subprocess.Process
    started_at: float
    reported_at: float | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    metrics: Sequence[Any] = ()

    @property
    def state(self) -> str:
        """Return its state: "starting" before its first report."""
        return str(self.report.get("state", "starting"))


class Supervisor:
    """Keeps a number of processes running until a signal.

    Args:
        command: The command line of a process.
        number: How many processes run.
        grace: Seconds that running events have to finish after the first signal.
        until_empty: True if a process that ends with status 0 or 1 is not replaced.
        ended: Called with each process that has ended.

    Attributes:
        children: The processes, by number.
        restarts: Number of restarts, by reason: "recycled" or "died".
    """

    def __init__(
        self,
        command: Sequence[str],
        number: int,
        *,
        grace: float,
        until_empty: bool = False,
        ended: Callable[[ChildProcess], object] = lambda _: None,
    ) -> None:
        self.children: dict[int, ChildProcess] = {}
        self.restarts = {"recycled": 0, "died": 0}
        self._command = tuple(command)
        self._number = number
        self._grace = grace
        self._until_empty = until_empty
        self._on_end = ended
        self._stopping = asyncio.Event()
        self._signal = 0
        self._codes: list[int] = []
        self._failure = 0
        self._has_worked = False
        self._stores: dict[tuple[str, str], Store] = {}

    async def run(self) -> int:
        """Run until a signal, or until all processes have ended for good.

        Returns:
            The exit status: after a signal, 0 if all running events have finished, otherwise 128
            and the number of the signal; without one, the largest status of a process.
        """
        with self._listening():
            try:
                async with asyncio.TaskGroup() as group:
                    for each in range(self._number):
                        group.create_task(self._keep(each + 1))
            finally:
                await self._close_stores()
        worst = self._failure or max(self._codes, default=0)
        return 128 + self._signal if self._signal and worst else worst

    # -- health ------------------------------------------------------------------------------

    def why_not_alive(self) -> str:
        """Return which event loop is blocked, or which heartbeat has stopped; "" if none is."""
        now = asyncio.get_running_loop().time()
        for child in self.children.values():
            if child.reported_at is None:
                continue
            if (silence := now - child.reported_at) > BLOCKED_AFTER:
                return (
                    f"process {child.number} (pid {child.process.pid}): its event loop has been "
                    f"blocked for {silence:.0f} s"
                )
            if problem := child.report.get("heartbeat"):
                return f"process {child.number} (pid {child.process.pid}): {problem}"
        return ""

    def why_not_working(self) -> str:
        """Return an empty text if at least one process works; else why none does."""
        if self._stopping.is_set():
            return "draining"
        if any(child.state == "working" for child in self.children.values()):
            return ""
        states = ", ".join(f"{each.number} is {each.state}" for each in self.children.values())
        return f"no process works yet: {states or 'none is running'}"

    def why_not_claiming(self) -> str:
        """Return an empty text if at least one process renews its leases; else why one does not."""
        problems = [str(each.report.get("renewal", "")) for each in self.children.values()]
        return problems[0] if problems and all(problems) else ""

    def stores(self) -> list[Store]:
        """Return the stores of all queues that the processes have reported.

        Raises:
            LionprideError: if a store cannot be opened.
        """
        for child in self.children.values():
            url = child.report.get("store")
            for queue in child.report.get("queues", ()):
                if url and (url, queue) not in self._stores:
                    self._stores[url, queue] = open_store(url, queue=queue, name=queue)
        return list({store.queue: store for store in self._stores.values()}.values())

    async def _close_stores(self) -> None:
        for store in self._stores.values():
            with suppress(LionprideError):
                await store.close()

    # -- processes ---------------------------------------------------------------------------

    async def _keep(self, number: int) -> None:
        """Keep a process running until all are stopped."""
        died = 0
        while not self._stopping.is_set():
            try:
                child, ours = await self._start(number)
            except OSError as error:  # no process, memory or file descriptor can be had
                died += 1
                await self._wait_after(number, error, _pause(died))
                continue
            code = await self._wait_for_end(child, ours)
            if self._is_final(child, code):
                if code not in _CLEAN_EXITS:
                    self._codes.append(code if code >= 0 else 128 - code)
                return
            if code == RECYCLED:
                self.restarts["recycled"] += 1
                died = 0
                continue
            lived = asyncio.get_running_loop().time() - child.started_at
            self.restarts["died"] += 1
            died = 1 if lived >= STABLE_AFTER else died + 1
            pause = _pause(died) if lived < STABLE_AFTER else 0.0
            again = f"in {duration(pause)}" if pause else "now"
            self._log(child, logging.ERROR, f"{_ending(code)}; it is started again {again}")
            await self._wait(pause)

    def _is_final(self, child: ChildProcess, code: int) -> bool:
        """Return True if a process that has ended is not replaced."""
        if self._stopping.is_set():
            self._log(child, logging.INFO, _ending(code))
            return True
        if code == _USAGE_ERROR and not self._has_worked:
            self._log(child, logging.ERROR, f"{_ending(code)}; the other processes are stopped")
            self._failure = code
            self._stop(signal.SIGTERM)
            return True
        return self._until_empty and code in (0, 1)

    async def _start(self, number: int) -> tuple[ChildProcess, socket.socket]:
        """Start a process, and return it with this end of the socket.

        Raises:
            OSError: if the system starts none.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**os.environ, VARIABLE: str(theirs.fileno())},
                    pass_fds=[theirs.fileno()],
                    process_group=0,  # so Ctrl-C in a terminal reaches the supervisor alone
                )
            except BaseException:
                ours.close()
                raise
        child = ChildProcess(number, process, asyncio.get_running_loop().time())
        self.children[number] = child
        self._log(child, logging.INFO, "has started")
        if self._stopping.is_set():
            _send(child, signal.SIGTERM)
        return child, ours

    async def _wait_for_end(self, child: ChildProcess, ours: socket.socket) -> int:
        """Read the reports of a process until it has ended.

        Returns:
            Its exit status; a negative number is that of a signal.
        """
        reader, writer = await asyncio.open_connection(sock=ours, limit=_MAX_REPORT)
        reports = asyncio.create_task(self._read(child, reader))
        try:
            code = await child.process.wait()
            await asyncio.wait([reports], timeout=_LAST_REPORT)
        finally:
            reports.cancel()
            _send(child, signal.SIGKILL)
            writer.close()
        del self.children[child.number]
        self._on_end(child)
        return code

    async def _read(self, child: ChildProcess, reader: asyncio.StreamReader) -> None:
        """Read the reports of a process until it closes the socket."""
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            async for line in reader:
                report = json.loads(line)
                child.reported_at = loop.time()
                child.metrics = report.pop("metrics", child.metrics)
                child.report = report
                self._has_worked = self._has_worked or child.state == "working"

    async def _wait_after(self, number: int, error: OSError, pause: float) -> None:
        message = "process %d could not be started: %s; it is tried again in %s"
        logger.error(message, number, error, duration(pause))
        await self._wait(pause)

    async def _wait(self, seconds: float) -> None:
        """Wait so long, or until all processes are stopped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _log(self, child: ChildProcess, level: int, what: str) -> None:
        logger.log(level, "process %d (pid %d) %s", child.number, child.process.pid, what)

    # -- signals -----------------------------------------------------------------------------

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Handle signals during the block. No code of the application blocks this event loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _on_signal(self, number: int) -> None:
        """Drain at the first signal; interrupt at the second."""
        if not self._signal:
            self._signal = number
            logger.info(
                "stopping: running events may finish within %g s; a second signal ends at once",
                self._grace,
            )
            self._stop(signal.SIGTERM)
        else:
            self._stop(signal.SIGINT)

    def _stop(self, number: int) -> None:
        """Send a signal to all processes; kill those that have not ended some time later.

        Args:
            number: SIGTERM to drain, SIGINT to interrupt; see ``Interrupts``.
        """
        self._stopping.set()
        for child in self.children.values():
            _send(child, number)
        patience = self._grace + _KILL_AFTER_GRACE if number == signal.SIGTERM else _KILL_SOON
        asyncio.get_running_loop().call_later(patience, self._kill)

    def _kill(self) -> None:
        for child in self.children.values():
            _send(child, signal.SIGKILL)
            self._log(child, logging.ERROR, "has not ended, and is killed")


def _pause(died: int) -> float:
    """Return the seconds before a process is started again that died so often in a row."""
    return min(FIRST_PAUSE * 2.0 ** min(died - 1, 10), LONGEST_PAUSE)


def _send(child: ChildProcess, number: int) -> None:
    """Send a signal to a process, unless it has ended."""
    with suppress(ProcessLookupError):
        child.process.send_signal(number)


def _ending(code: int) -> str:
    """Return how a process has ended, in words."""
    if code == RECYCLED:
        return "has drained, to be replaced"
    if code >= 0:
        return f"has ended with status {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
