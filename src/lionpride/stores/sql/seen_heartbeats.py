"""When this process saw the last heartbeat of each other worker, by a clock that cannot be set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

__all__ = ("SeenHeartbeats",)


class SeenHeartbeats:
    """Notes when this process saw the last heartbeat of each other worker.

    Leases are stored in wall-clock time. If that clock is set forward, every lease of the machine
    seems to have lapsed. So a worker whose process is alive loses its leases only if this process
    has seen no new heartbeat of it for the length of a lease.

    Args:
        lease: Seconds of this process's own leases. The leases of other processes are assumed to
            be no shorter. Their length cannot be computed from times that were written before and
            after the clock was set.
        clock: Seconds of a clock that cannot be set. It may stand still while the machine sleeps,
            as the other worker does.
    """

    def __init__(self, lease: float, clock: Callable[[], float] = monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._seen: dict[str, tuple[float, float]] = {}

    def note(self, signs: Mapping[str, float]) -> None:
        """Note the last heartbeat of each worker, as stored in the file; forget other workers."""
        now, before = self._clock(), self._seen
        self._seen = {
            worker: before[worker] if before.get(worker, (None,))[0] == sign else (sign, now)
            for worker, sign in signs.items()
        }

    def is_recent(self, worker: str, until: float) -> bool:
        """Return True if a lease cannot have lapsed since the worker's last heartbeat.

        Args:
            worker: Its name.
            until: When the lease lapses, by the clock of the last heartbeat.
        """
        if worker not in self._seen:
            return False
        sign, at = self._seen[worker]
        return self._clock() - at <= max(self._lease, until - sign)
