"""Vacuum of the hot tables by the workers, long before autovacuum would run.

Every claim deletes a row of ``ready`` and every settlement a row of ``lease``. A claim reads past
all dead rows: after 40,000 claims that takes longer than the claim itself. Autovacuum runs once a
minute, which is late at 20,000 events a second.

A vacuum costs about what ten thousand claims lose by twenty thousand dead rows, so it is due then.
Each process counts its own claims, and does its share.
"""

from __future__ import annotations

from time import monotonic
from typing import Final

from .session import TableConnection

__all__ = ("VacuumSchedule",)

MANY: Final = 20_000
"""Claims of all workers together after which a vacuum is due."""

FEW: Final = 1_000
"""Minimum number of claims of one process, however many workers there are."""

REST: Final = 0.5
"""Minimum time in seconds between two vacuums of all processes."""

SHARE: Final = 0.05
"""Maximum share of the time, if a transaction keeps dead rows from being removed."""

HOT: Final = ("ready", "lease")

_RECENT: Final = """
SELECT coalesce(
    pg_stat_get_last_vacuum_time(to_regclass($1))
        > clock_timestamp() - make_interval(secs => $2),
    false
)
"""


class VacuumSchedule:
    """Decides when this process vacuums, and does it.

    Attributes:
        workers: The number of live workers in all processes.
    """

    def __init__(self) -> None:
        self.workers = 1
        self._claims = 0
        self._next = 0.0

    def is_due(self, claims: int) -> bool:
        """Return True if a vacuum is due after a number of further claims."""
        self._claims += claims
        share = max(MANY // max(self.workers, 1), min(FEW, MANY))
        if self._claims < share or monotonic() < self._next:
            return False
        self._claims = 0
        self._next = monotonic() + REST
        return True

    async def __call__(self, db: TableConnection) -> None:
        """Vacuum the hot tables, unless another process has just done so or does it now."""
        if await db.value(_RECENT, db.names.fill(f"{{{HOT[0]}}}"), REST):
            return
        began = monotonic()
        for table in HOT:
            # TRUNCATE would take a lock that claims wait for.
            await db.vacuum(
                f"VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF, PARALLEL 0) {{{table}}}"
            )
        ended = monotonic()
        self._next = max(self._next, ended + (ended - began) / SHARE)
