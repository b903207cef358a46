"""One process that works: its state, for probes, scrapes, and reports to a supervisor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..core import Executor
from .health import StoreCheck, failed_renewal, health_routes, silent_heartbeat
from .http_server import Handler
from .supervisor_link import Report, State

if TYPE_CHECKING:
    from .metrics import ProcessMetrics

__all__ = ["WorkerProcess"]


class WorkerProcess:
    """The executors of this process, as the outside sees them.

    Args:
        executors: The executors; their events are counted from now on.
        store: The URL of their store.
        modules: Names of the modules of the application, whose registries are exposed; None for no
            metrics.

    Attributes:
        state: What the process does.
    """

    def __init__(
        self, executors: Sequence[Executor], store: str, modules: Iterable[str] | None
    ) -> None:
        self.state: State = "starting"
        self._store = store
        self._stores = [each.store for each in executors]
        self._check = StoreCheck(lambda: self._stores)
        self._metrics: ProcessMetrics | None = None
        if modules is not None:
            from .metrics import ProcessMetrics, registries_of  # late: an extra

            self._metrics = ProcessMetrics(executors, registries_of(modules))

    def close(self) -> None:
        """End the counting."""
        if self._metrics is not None:
            self._metrics.close()

    def health(self) -> Mapping[str, Handler]:
        """Return the handlers of the probes."""
        return health_routes(self.why_not_alive, self.why_not_ready)

    def metrics(self) -> Mapping[str, Handler]:
        """Return the handler of scrapes; there is none without metrics."""
        if (own := self._metrics) is None:
            return {}
        from .metrics import StoreGauges, metrics_routes  # late: an extra

        gauges = StoreGauges(lambda: self._stores)
        return metrics_routes(lambda found: [*found, *own.families()], gauges)

    def why_not_alive(self) -> str:
        """Return which heartbeat has stopped; an empty text if none has.

        The event loop is alive if it calls this.
        """
        return silent_heartbeat(self._stores)

    async def why_not_ready(self) -> str:
        """Return an empty text if this process claims events and its store answers."""
        if self.state != "working":
            return self.state
        return await self._check.problem() or failed_renewal(self._stores)

    def report(self) -> Report:
        """Return the report to a supervisor."""
        report = {
            "state": self.state,
            "heartbeat": self.why_not_alive(),
            "renewal": failed_renewal(self._stores),
            "store": self._store,
            "queues": [each.queue for each in self._stores],
        }
        if self._metrics is not None:
            from .supervisor_metrics import to_json  # late: an extra

            report["metrics"] = to_json(self._metrics.families())
        return report
