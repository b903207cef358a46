"""When other workers gave a sign of life, by a clock that cannot be set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

__all__ = ("Signs",)


class Signs:
    """Notes when this process has seen the last sign of life of each other worker.

    A lease is written down by the wall clock. When that is set forward, every lease of the machine
    seems to have lapsed. So a worker whose process is alive loses its leases only if this process
    has seen no new sign of life for as long as they are.

    Args:
        lease: Seconds of this process's own leases. Those of others are taken to be no shorter:
            what was written before and after the clock was set does not say how long they are.
        clock: Seconds of a clock that cannot be set. It may stand still while the machine sleeps,
            as the other worker does.
    """

    def __init__(self, lease: float, clock: Callable[[], float] = monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._seen: dict[str, tuple[float, float]] = {}

    def note(self, signs: Mapping[str, float]) -> None:
        """Note the last sign of life of each worker, as the file has it; others are forgotten."""
        now, before = self._clock(), self._seen
        self._seen = {
            worker: before[worker] if before.get(worker, (None,))[0] == sign else (sign, now)
            for worker, sign in signs.items()
        }

    def is_recent(self, worker: str, until: float) -> bool:
        """Return True if a lease cannot have lapsed since the worker's last sign of life.

        Args:
            worker: Its name.
            until: When the lease lapses, by the clock of the last sign of life.
        """
        if worker not in self._seen:
            return False
        sign, at = self._seen[worker]
        return self._clock() - at <= max(self._lease, until - sign)
