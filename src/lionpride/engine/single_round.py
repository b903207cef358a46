"""SingleRound: the events of one ``forward()``."""

from __future__ import annotations

from collections.abc import Sized

from ..rules.state_machine import RELEASED, Ending
from ..stores.contract import Started
from .admission import Admission
from .runtime import Runtime
from .store_client import StoreClient
from .work_source import CheckedSource
from .worker_pool import Worker, WorkerPool

__all__ = ("SingleRound",)


class SingleRound:
    """The events that are due when a round begins, each once.

    A denial ends the round. An event that returns to pending during the round is left for the next
    one.

    Args:
        runtime: The store.
        pool: The workers of the dispatcher.
        admission: Admits each event.
        client: Claims and settles events.
        size: The maximum number of events; None for no maximum.
    """

    def __init__(
        self,
        runtime: Runtime,
        pool: WorkerPool,
        admission: Admission,
        client: StoreClient,
        size: int | None,
    ) -> None:
        self._runtime = runtime
        self._pool = pool
        self._admission = admission
        self._client = client
        self._source = CheckedSource(runtime, pool, admission, client)
        self._left = size
        self._until: int | None = None  # the last event that arrived before the round
        self._seen: set[int] = set()
        self._skip: set[int] = set()  # events that returned to pending during the round
        self.has_more: Sized | bool = True

    async def begin(self) -> None:
        """Determine the events of the round."""
        self._until = await self._runtime.store.last_arrival()

    def take(self) -> Started | None:
        """See ``WorkSource``. Each event is claimed by ``next``."""
        return None

    async def next(self, worker: Worker) -> Started | None:
        """See ``WorkSource``."""
        while self._left != 0 and not worker.is_spent:
            await self._admission.wait_for_slot()
            if self._pool.closing:
                return None
            claim, seconds = await self._source.claim_one(
                until=self._until, skip=self._skip, denied=True
            )
            if claim is None:
                break
            if await self._accepts(worker, claim):
                self.has_more = seconds == 0.0 and self._left != 0
                return claim
        if not worker.is_spent:
            self._pool.close()
        return None

    async def _accepts(self, worker: Worker, claim: Started) -> bool:
        """Return True if a claimed event may start; otherwise it has been settled."""
        number = claim[0].execution.arrival
        assert number is not None, "it is claimed from a store"
        if number in self._seen:
            self._skip.add(number)
            self._admission.slot_is_unused()
            await self._client.settle_unstarted(claim[:2], RELEASED)
            return False
        self._seen.add(number)
        if self._runtime.checks_permission or self._runtime.immediate is None:
            refused = await self._admission.admit(worker, claim)
            if isinstance(refused, Ending) and refused.denials:
                self._pool.close()
            if refused is not None:
                return False
        if self._left is not None:
            self._left -= 1
        return True

    def close(self) -> None:
        """See ``WorkSource``."""
        self._source.close()
