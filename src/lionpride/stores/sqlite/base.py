"""Base of the SQLite store: the file, opened at the first use, and the local events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Any, Final, TypeVar

from ...model.execution import EventStatus
from ...rules.lifecycle import Ending
from ..clock import LoopClock, steady
from ..event_cache import CACHE_SIZE
from ..sql.backend import Transaction
from ..sql.codec import state_after, state_entries
from ..sql.local import Local, until_done
from ..sql.rows import ReadyRow, SettlementRow, StoredEvent
from . import steps
from .file import PATIENCE, make_file, speaking
from .inspector import SqliteInspector
from .opened import Opened
from .options import MODE, check_options
from .queries import Queries
from .transaction import Clocks, Operation

__all__ = ("LEASE", "Base")

T = TypeVar("T")

LEASE: Final = 10.0
"""Seconds that a claim holds without a sign of life from its process."""

_OWN: Final = 2
"""What ``_blocked`` is after the commit of a claim that found nothing allowed."""


class Base(Local):
    """The part of ``SqliteStore`` that the others stand on; its arguments are those."""

    def __init__(
        self,
        path: str | Path,
        queue: str = "default",
        *,
        name: str | None = None,
        synchronous: str = "FULL",
        lease: float = LEASE,
        patience: float = PATIENCE,
        shown: int = CACHE_SIZE,
        retain: int | timedelta | None = None,
        mode: int = MODE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        check_options(
            synchronous=synchronous,
            lease=lease,
            patience=patience,
            shown=shown,
            retain=retain,
            mode=mode,
        )
        self._mode = mode
        self.path = Path(path).absolute()
        super().__init__(self.path, queue, name, shown, clock or LoopClock(), self._look_up)
        self._synchronous = synchronous
        self._lease = lease
        self._patience = patience
        self._wall = clock or time
        self._retain = retain
        self._file: Opened | None = None
        self._glance: SqliteInspector | None = None
        self._last_ending = 0.0
        self._blocked = 0  # since a claim found nothing that limits allow: commits, and one more

    # -- the file ----------------------------------------------------------------------------

    @property
    def _open(self) -> Opened:
        """The file, opened at the first use.

        Raises:
            StoreError: if it cannot be opened.
            OperationError: in a child process after ``fork``.
        """
        if self._file is None:
            make_file(self.path, self._mode)
            self._file = Opened(
                self.path,
                self.queue,
                synchronous=self._synchronous,
                patience=self._patience,
                lease=self._lease,
                clock=self._wall,
                local_events=self._local_events,
                committed=self._committed,
            )
        return self._file

    def _ask(
        self, step: steps.Step | steps.Settle, then: Callable[[Any], Any] | None = None
    ) -> asyncio.Future[Any]:
        """Have a step taken; ``then`` notes it here even if nobody waits for it any more."""
        return self._open.commits.ask(step, then)

    def _clocks(self) -> Clocks:
        """Return the clocks for a transaction, which may be made in another thread."""
        return Clocks(steady(self._clock), self._wall, self._ending)

    def _operation(
        self, work: Callable[[Transaction], Coroutine[Any, Any, Any]], **how: bool
    ) -> Operation:
        """Return a step that runs an operation; ``how`` is as for ``Operation``."""
        return Operation(work, self._clocks(), **how)

    def _read(self, ask: Callable[[Queries], T]) -> T:
        """Ask the file without changing it.

        Raises:
            StoreError: if it cannot be read.
        """
        with speaking(self.path):
            return ask(self._open.reader)

    @property
    def _largest(self) -> int:
        return self._open.largest

    def _is_open(self) -> bool:
        return self._file is not None

    def _committed(self, idle: bool) -> None:
        if self._blocked:
            self._note_commit()
        if self._listeners.idle and (idle or (self._lacks() and not self._local_events.claims)):
            self._listeners.notify_idle()

    def _note_commit(self) -> None:
        """There may be more of a limit: have those look again who found nothing allowed.

        The commit of the very claim that found nothing is the first.
        """
        self._blocked += 1
        if self._blocked > _OWN:
            self._blocked = 0
            self._listeners.notify_ready()

    def _ending(self) -> float:
        """The time for an ending: each is later than the one before."""
        self._last_ending = max(self._wall(), self._last_ending + 1e-6)
        return self._last_ending

    @property
    def inspector(self) -> SqliteInspector:
        """Answers for those who look at the queue from outside: see ``Seen``."""
        if self._glance is None:
            self._open.commits.check_process()
            self._glance = SqliteInspector(self.path, self.queue, self._open.guard.check)
        return self._glance

    async def close(self) -> None:
        """Finish what is under way, and close the file; a later call opens it again."""
        glance, self._glance = self._glance, None
        if glance is not None:
            await glance.close()
        file, self._file = self._file, None
        if file is not None:
            await file.close()

    def _look_up(self, numbers: Any) -> list[StoredEvent | None]:
        return self._read(lambda reader: reader.of(numbers))

    def _until_done(self, ask: Callable[[], asyncio.Future[Any]]) -> None:
        """Have a step taken, and again later if it fails, until the store is closed."""
        file = self._open
        until_done(lambda: ask() if self._file is file else None)

    def _return(self, rows: list[SettlementRow]) -> None:
        self._until_done(lambda: self._ask(steps.Settle(rows, self._clocks())))

    def _fail(self, one: ReadyRow, error: Exception) -> None:
        ending = Ending(EventStatus.FAILED, error=error, retryable=False, tries=1)
        attempt = one[3] + 1
        state = state_after(ending, state_entries("pending", (attempt, *one[4:])))

        def ask() -> asyncio.Future[Any]:
            failed = (one[0], attempt, "failed", 0.0, self._ending(), one[2], state)
            return self._ask(steps.Settle([failed], self._clocks()))

        self._until_done(ask)
