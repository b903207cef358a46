"""The options of ``lionpride work`` for production, and what they switch on."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import math
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from ..errors import ConfigurationError
from ..worker.health import StoreCheck, health_routes
from ..worker.http_server import Handler, listen, serve
from ..worker.logs import FORMATS, LEVELS, LogFormat, configure
from ..worker.recycling import Recycling, resident_bytes
from ..worker.supervisor_link import SupervisorLink
from .grammar import F, setting
from .output.streams import warn_by
from .usage import UsageError, port_number, whole_number

if TYPE_CHECKING:
    from ..worker.process import WorkerProcess
    from ..worker.supervisor_metrics import SupervisorMetrics

__all__ = ["Production", "production_options"]

MIB: Final = 2**20

logger = logging.getLogger("lionpride.worker")

Routes = Mapping[str, Handler]


def production_options(function: F) -> F:
    """Add the options; their parameters have the names of the fields of ``Production``."""
    add = [
        setting(
            "--health-port",
            metavar="PORT",
            type=port_number,
            help="answer /health/live and /health/ready on this port, on all addresses of this "
            "machine; 0: any free port",
        ),
        setting(
            "--metrics-port",
            metavar="PORT",
            type=port_number,
            help="answer /metrics for Prometheus on this port, which may be the same; needs the "
            "extra [metrics]",
        ),
        setting(
            "--log-level",
            type=click.Choice(LEVELS),
            help="write the log of all loggers to standard error, from this level on (info, if "
            "another option needs a log)",
        ),
        setting(
            "--log-format",
            type=click.Choice(FORMATS),
            help="the format of the log (text); json: one object a line",
        ),
        setting(
            "--processes",
            metavar="N",
            type=whole_number,
            help="work in N processes, which a supervisor starts, replaces and stops",
        ),
        setting(
            "--max-events",
            metavar="N",
            type=whole_number,
            help="after N events the process finishes what runs, and ends with status 75; with "
            "--processes it is replaced",
        ),
        setting(
            "--max-memory",
            metavar="MIB",
            type=whole_number,
            help="the same when the process uses more than so many MiB",
        ),
    ]
    for each in reversed(add):
        function = each(function)
    return function


@dataclass(frozen=True, slots=True)
class Production:
    """The values of the options.

    Attributes:
        health_port: The port of the probes; None for none.
        metrics_port: The port of the metrics; None for none.
        log_level: The level of the log; None if it was not given.
        log_format: The format of the log; None if it was not given.
        processes: The number of processes; None to work in this process.
        max_events: Number of events after which a process ends; None for no limit.
        max_memory: Number of MiB of memory above which it ends; None for no limit.
    """

    health_port: int | None = None
    metrics_port: int | None = None
    log_level: str | None = None
    log_format: LogFormat | None = None
    processes: int | None = None
    max_events: int | None = None
    max_memory: int | None = None

    def check(self, *, until_empty: bool) -> None:
        """Refuse what cannot work.

        Raises:
            UsageError: names the option and the remedy.
        """
        if self.metrics_port is not None and importlib.util.find_spec("prometheus_client") is None:
            raise UsageError(
                "--metrics-port needs the extra [metrics]: pip install 'lionpride-core[metrics]'"
            )
        if until_empty and (self.max_events is not None or self.max_memory is not None):
            name = "--max-events" if self.max_events is not None else "--max-memory"
            raise UsageError(f"{name} cannot be used with --until-empty: leave out one of them")
        if self.processes is not None and sys.platform == "win32":
            raise UsageError("--processes needs a system with signals: start several workers")

    def start_log(self, *, quiet: bool) -> LogFormat | None:
        """Configure the log, if an option asks for one, and return its format.

        From then on, messages of this command are records too. A supervisor and its processes
        always have a log, since their lines have to name the process.
        """
        if self.log_level is None and self.log_format is None and self.processes is None:
            return None
        log_format = self.log_format or "text"
        configure(self.log_level or ("warning" if quiet else "info"), log_format)
        warn_by(lambda text: logger.warning("%s", text.removeprefix("lionpride: ")))
        return log_format

    def recycling(self) -> Recycling:
        """Return the limits after which this process ends; called when its code is imported.

        Raises:
            UsageError: if it uses more memory already, so that it would never run an event.
        """
        if self.max_memory is None:
            return Recycling(self.max_events)
        used = math.ceil(resident_bytes() / MIB)
        if used > self.max_memory:
            raise UsageError(
                f"--max-memory {self.max_memory} is less than the {used} MiB that this process "
                "uses before its first event: give more"
            )
        return Recycling(self.max_events, self.max_memory * MIB)

    # -- one process -------------------------------------------------------------------------

    def process_modules(self, modules: Iterable[str]) -> Iterable[str] | None:
        """Return the modules whose registries are exposed; None without metrics."""
        return None if self.metrics_port is None else modules

    @asynccontextmanager
    async def show(
        self, process: WorkerProcess, ports: Ports, link: SupervisorLink | None
    ) -> AsyncIterator[None]:
        """Answer probes and scrapes during the block, or report to the supervisor.

        The server runs in the event loop of the worker, so a blocked loop does not answer.
        """
        try:
            if link is not None:
                async with link.reporting(process.report):
                    yield
            else:
                async with ports.serve(process.health(), process.metrics()):
                    yield
        finally:
            process.close()

    # -- several processes -------------------------------------------------------------------

    def supervise(self, arguments: Sequence[str], grace: float, *, until_empty: bool) -> int:
        """Run the processes, and return the exit status.

        Args:
            arguments: The arguments of this command line, which each process gets.
            grace: Seconds that running events have to finish.
            until_empty: True if a process that has ended with status 0 or 1 is not replaced.

        Raises:
            UsageError: if a port cannot be used.
        """
        ports = Ports.open(self.health_port, self.metrics_port)
        command = [sys.executable, "-m", "lionpride", *arguments]
        return asyncio.run(self._supervise(ports, command, grace, until_empty))

    async def _supervise(
        self, ports: Ports, command: Sequence[str], grace: float, until_empty: bool
    ) -> int:
        from ..worker.supervisor import Supervisor  # late: a single process has none

        metrics: SupervisorMetrics | None = None
        if self.metrics_port is not None:
            from ..worker.supervisor_metrics import SupervisorMetrics  # late: an extra

            metrics = SupervisorMetrics()
        assert self.processes is not None
        supervisor = Supervisor(
            command,
            self.processes,
            grace=grace,
            until_empty=until_empty,
            ended=(lambda _: None) if metrics is None else metrics.ended,
        )
        check = StoreCheck(supervisor.stores)

        async def why_not_ready() -> str:
            why_not = supervisor.why_not_working() or await check.problem()
            return why_not or supervisor.why_not_claiming()

        health = health_routes(supervisor.why_not_alive, why_not_ready)
        scrapes: Routes = {} if metrics is None else metrics.routes(supervisor)
        async with ports.serve(health, scrapes):
            return await supervisor.run()


@dataclass(frozen=True, slots=True)
class Ports:
    """Sockets that listen already; nothing answers before ``serve``.

    Attributes:
        sockets: Each socket, with whether it answers probes and whether it answers scrapes.
    """

    sockets: Sequence[tuple[socket.socket, bool, bool]] = ()

    @classmethod
    def open(cls, health_port: int | None, metrics_port: int | None) -> Ports:
        """Listen on the ports; on one for both, if they are the same.

        Raises:
            UsageError: if a port cannot be used.
        """
        if health_port is not None and health_port == metrics_port and health_port:
            return cls([(_listen("--health-port", health_port), True, True)])
        sockets = list[tuple[socket.socket, bool, bool]]()
        if health_port is not None:
            sockets.append((_listen("--health-port", health_port), True, False))
        if metrics_port is not None:
            sockets.append((_listen("--metrics-port", metrics_port), False, True))
        return cls(sockets)

    @asynccontextmanager
    async def serve(self, health: Routes, metrics: Routes) -> AsyncIterator[None]:
        """Answer during the block, and log where."""
        served = []
        for sock, has_health, has_metrics in self.sockets:
            routes = {**(health if has_health else {}), **(metrics if has_metrics else {})}
            port = sock.getsockname()[1]
            logger.info("%s on port %d", ", ".join(routes), port, extra={"port": port})
            served.append((sock, routes))
        async with serve(served):
            yield


def _listen(name: str, port: int) -> socket.socket:
    try:
        return listen(port)
    except ConfigurationError as error:
        raise UsageError(f"{name}: {error}") from error
