"""The workers of this process, as a store over a database knows them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, KeysView
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial
from platform import node

from ...model.event_data import EventData
from ...rules.queue_position import About, QueueWorker
from ..inspector import WorkerRecord
from .codec import description_json
from .heartbeat import DescriptionSources

__all__ = ("LocalWorkers",)


class LocalWorkers:
    """The registered workers of this process.

    Attributes:
        leaving: Workers that were removed and may still have a row in the database.
        registered: Workers that have a row in the database, as far as this process knows.
        claiming: Workers that have claimed, also without having been added.

    Args:
        queue: The name of the queue.
        clock: Returns the time.
        complete: Adds to the description of a worker what its process cannot run.
    """

    def __init__(
        self, queue: str, clock: Callable[[], float], complete: Callable[[About], About]
    ) -> None:
        self.leaving: set[str] = set()
        self.registered: set[str] = set()
        self.claiming: set[str] = set()
        self._queue = queue
        self._clock = clock
        self._complete = complete
        self._cancels: dict[str, Callable[[EventData], object]] = {}
        self._describe: dict[str, Callable[[], About] | None] = {}
        self._since: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._cancels)

    @property
    def names(self) -> KeysView[str]:
        """The names of the workers; a live view."""
        return self._cancels.keys()

    def add(
        self,
        worker: str,
        cancel: Callable[[EventData], object],
        describe: Callable[[], About] | None,
    ) -> None:
        """Add a worker, or replace it; the arguments are those of ``Store.register_worker``."""
        self._cancels[worker] = cancel
        self._describe[worker] = None if describe is None else partial(self._described, describe)
        self._since.setdefault(worker, self._clock())

    def _described(self, describe: Callable[[], About]) -> About:
        return self._complete(describe())

    def remove(self, worker: str) -> bool:
        """Remove a worker; it is leaving until its row is deleted. False if it is unknown."""
        self._describe.pop(worker, None)
        self._since.pop(worker, None)
        if self._cancels.pop(worker, None) is None:
            return False
        self.registered.discard(worker)
        self.claiming.discard(worker)
        self.leaving.add(worker)
        return True

    def cancel(self, event: EventData) -> None:
        """Ask the workers to cancel the running attempt of an event."""
        for cancel in tuple(self._cancels.values()):
            cancel(event)

    def description_sources(self) -> DescriptionSources:
        """Return functions that describe each worker as JSON; called in other threads too."""
        return {name: partial(description_json, about) for name, about in self._describe.items()}

    def with_own(self, gone: AbstractSet[str], stored: Iterable[QueueWorker]) -> list[QueueWorker]:
        """Return the workers in the table, with the current state of this process's workers.

        The table may be older than that: no caller waits for the commit that writes their state.

        Args:
            gone: Workers of this process that were leaving when the table was read.
            stored: The workers in the table.
        """
        known = {worker.name: worker for worker in stored if worker.name not in gone}
        for name, describe in self._describe.items():
            worker = known.get(name) or QueueWorker(name, True, 0, None)
            about = describe() if describe else worker.about
            known[name] = worker._replace(is_live=True, about=about)
        return list(known.values())

    def records_with_own(
        self, gone: AbstractSet[str], stored: Iterable[WorkerRecord]
    ) -> list[WorkerRecord]:
        """Do the same for worker records."""
        known = {worker.name: worker for worker in stored if worker.name not in gone}
        for name, describe in self._describe.items():
            record = known.get(name) or self._new_record(name)
            about = describe() if describe else record.about
            known[name] = replace(record, alive=True, about=about)
        return list(known.values())

    def _new_record(self, worker: str) -> WorkerRecord:
        """Return the record of a worker that is not in the table yet."""
        since = self._since[worker]
        return WorkerRecord(
            worker, self._queue, node(), os.getpid(), since, self._clock(), 0.0, True, ()
        )
