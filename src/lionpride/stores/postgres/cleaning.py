"""The hot tables are vacuumed by who makes their rows die, long before the server would do it.

Every claim deletes a row of ``ready`` and every settle one of ``lease``, and who looks for the
first that is ready passes over all that are dead: after 40,000 claims that alone takes longer than
the claim. The server's autovacuum comes once a minute; at 20,000 events a second that is late.

A pass costs as much as some ten thousand claims of a hundred lose by twenty thousand dead rows, so
that is when one is due. Each process counts its own claims, and takes its share of that.
"""

from __future__ import annotations

from time import monotonic
from typing import Final

from .link import Db

__all__ = ("Cleaning",)

MANY: Final = 20_000
"""Claims, of all workers together, after which it is worth the while."""

FEW: Final = 1_000
"""Claims of one process after which it is at the earliest, however many workers there are."""

REST: Final = 0.5
"""Seconds between two, whoever does it."""

SHARE: Final = 0.05
"""The part of the time that it may take, where something keeps the dead from being removed."""

HOT: Final = ("ready", "lease")

_RECENT: Final = """
SELECT coalesce(
    pg_stat_get_last_vacuum_time(to_regclass($1))
        > clock_timestamp() - make_interval(secs => $2),
    false
)
"""


class Cleaning:
    """When it is due, and what is done then; one for each process that claims.

    Attributes:
        workers: How many there are, in all processes.
    """

    def __init__(self) -> None:
        self.workers = 1
        self._claims = 0
        self._next = 0.0

    def is_due(self, claims: int) -> bool:
        """Whether to clean, after so many more claims."""
        self._claims += claims
        share = max(MANY // max(self.workers, 1), min(FEW, MANY))
        if self._claims < share or monotonic() < self._next:
            return False
        self._claims = 0
        self._next = monotonic() + REST
        return True

    async def __call__(self, db: Db) -> None:
        """Vacuum what is hot, unless somebody else has done so or is at it."""
        if await db.value(_RECENT, db.names.fill(f"{{{HOT[0]}}}"), REST):
            return
        began = monotonic()
        for table in HOT:
            # The file is not cut off at its end: that would take a lock that claims wait for.
            await db.vacuum(
                f"VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF, PARALLEL 0) {{{table}}}"
            )
        ended = monotonic()
        self._next = max(self._next, ended + (ended - began) / SHARE)
