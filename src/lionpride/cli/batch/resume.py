"""A run over a durable store: finished lines are not run again, and no line is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from typing import TypeVar
from uuid import UUID

from ...core import Event, EventStatus
from ...drawing.text import plural
from ...errors import OperationError
from ...model.execution import TERMINAL
from ...stores.contract import Store
from ..output.statistics import StoreStatistics, is_failure
from ..store.location import StoreLocation
from ..store.queues import told_counts
from ..usage import UsageError
from .lines import Asked
from .results import Results

__all__ = ["Entry", "Fresh", "Resumption"]

PAGE = 500  # events looked up or removed at a time

T = TypeVar("T")
Entry = tuple[int, Event, float | None, Asked]  # line number, event, priority, terms


class Fresh(Enum):
    """When a run starts from the beginning, and does not continue the last one."""

    NEVER = "never"
    IF_DONE = "if nothing is left"
    ALWAYS = "always"


class Resumption:
    """Compares the lines of a run with what its store has of them.

    Args:
        location: Where the store is.
        store: The store of the run's queue.
        stored: Is told of the lines that are known.
        lines: The line number of each event of the input, by id.
        results: Where results go, if anywhere.
        fresh: When to start from the beginning.
        say: Is told what is done beforehand.
    """

    def __init__(
        self,
        location: StoreLocation,
        store: Store,
        stored: StoreStatistics,
        lines: Mapping[UUID, int],
        results: Results | None,
        fresh: Fresh,
        say: Callable[[str], None],
    ) -> None:
        self._location = location
        self._store = store
        self._stored = stored
        self._lines = lines
        self._results = results
        self._fresh = fresh
        self._say = say
        self._begun = False

    # -- the beginning -----------------------------------------------------------------------

    async def prepare(self) -> None:
        """Start from the beginning, if ``fresh`` says so; called when there is a line to run.

        Raises:
            UsageError: if another process is running what would be removed.
        """
        if self._fresh is Fresh.NEVER:
            return
        while await self._store.reap():
            pass  # what a dead process held can be removed
        counts = await self._store.counts()
        left = counts[EventStatus.PENDING] + counts[EventStatus.PROCESSING]
        total = sum(counts.values())
        if not total or (left and self._fresh is Fresh.IF_DONE):
            return
        if running := counts[EventStatus.PROCESSING]:
            raise self._in_use(f"{plural(running, 'event')} of it are running")
        await self._store.prune(TERMINAL)
        try:
            while page := await self._store.list_records(EventStatus.PENDING, limit=PAGE):
                await self._store.remove([record.id for record in page])
        except OperationError as error:
            raise self._in_use("it has started to run them") from error
        self._say(
            f"starting again: removed {plural(total, 'event')} of queue "
            f"{self._store.queue!r} from {self._location.name} ({told_counts(counts)})"
        )

    def _in_use(self, why: str) -> UsageError:
        return UsageError(
            f"--fresh: another process works on queue {self._store.queue!r} of "
            f"{self._location.name} ({why}): stop it first, or leave out --fresh"
        )

    async def without_known(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries that the store does not have; note the status of the others."""
        missing = []
        records = await self._store.get([entry[1].id for entry in entries])
        for entry, record in zip(entries, records, strict=True):
            line = entry[0]
            if record is None:
                missing.append(entry)
            else:
                self._stored.enter(line, record)
                if self._results is not None and self._begun and record.status in TERMINAL:
                    self._results.write_record(record, line)
        return missing

    async def begin(self) -> None:
        """The run begins: write the results of the lines that have settled before."""
        self._begun = True
        await self._write(self._stored.settled_before())

    def announce(self) -> None:
        """Say what was done before, if anything was there."""
        stored = self._stored
        if stored.known:
            bad = {status: n for status, n in stored.counts.items() if is_failure(status)}
            bad |= {EventStatus.FAILED: bad.get(EventStatus.FAILED, 0)}
            told = [f"{n:,} {s.value}" for s, n in bad.items() if n or s is EventStatus.FAILED]
            done, left = stored.earlier - sum(bad.values()), stored.total - stored.earlier
            self._say(
                f"resuming from {self._location.name}: {done:,} done, {', '.join(told)}, "
                f"{left:,} left"
            )

    # -- the end -----------------------------------------------------------------------------

    async def complete(self) -> None:
        """The queue has been worked off: take over what others have done of it."""
        for page in _pages(list(self._stored.unsettled())):
            for record in await self._store.get(page):
                if record is not None:
                    self._stored.correct(self._lines[record.id], record)
        if self._stored.reopened and self._results is not None:
            self._results.start_over()  # a result in it may no longer be the last one
        await self._write(self._stored.settled_before())

    async def _write(self, ids: Iterable[UUID]) -> None:
        """Write the results that are not written yet."""
        results, lines = self._results, self._lines
        if results is None:
            return
        for page in _pages([uid for uid in ids if not results.has(lines[uid])]):
            for record in await self._store.get(page):
                if record is not None and record.status in TERMINAL:
                    results.write_record(record, lines[record.id])


def _pages(items: Sequence[T]) -> Iterator[list[T]]:
    each = iter(items)
    while page := list(islice(each, PAGE)):
        yield page
