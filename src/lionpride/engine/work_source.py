"""Sources of claimed events: one for a store that answers at once, others for stores that wait.

A dispatcher calls ``take`` for an event that can be had at once. If there is none, its claimer
calls ``next``, which waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sized
from typing import Any, Protocol

from ..model.event_data import EventData
from ..model.execution import EventStatus
from ..rules.state_machine import RELEASED, Cause, Outcome, cancelled_while_waiting
from ..stores.contract import BufferedPath, Claim, ImmediatePath, Started
from ..stores.listeners import Signal, Unsubscribe
from .admission import Admission
from .event import Event
from .observers import Level
from .runtime import Runtime
from .store_client import StoreClient
from .worker_pool import Worker, WorkerPool

__all__ = ("BatchingSource", "CheckedSource", "ClaimedBatch", "ImmediateSource", "WorkSource")


class WorkSource(Protocol):
    """Where a dispatcher gets its events from.

    Attributes:
        has_more: True, or not empty, if another claim may find an event at once.
    """

    has_more: Sized | bool

    async def begin(self) -> None:
        """Begin, before the first worker."""

    def take(self) -> Started | None:
        """Return an event to start, if there is one without waiting."""

    async def next(self, worker: Worker) -> Started | None:
        """Wait for an event to start; None if ``take`` may have one, or the dispatcher closes."""

    def close(self) -> None:
        """End the subscriptions of the source."""


class ImmediateSource:
    """Events of a store that answers at once, without an admission check.

    Args:
        runtime: The limits of the processor.
        store: The store.
        pool: The workers of the dispatcher.
        admission: The slots and the rate limit.
        client: Claims and settles events.
    """

    def __init__(
        self,
        runtime: Runtime,
        store: ImmediatePath,
        pool: WorkerPool,
        admission: Admission,
        client: StoreClient,
    ) -> None:
        self._runtime = runtime
        self._limits = runtime.limits
        self._window = runtime.window
        self._claim_now = store.claim_now
        self._pool = pool
        self._admission = admission
        self._client = client
        self._store = runtime.store
        self.has_more: Sized | bool = runtime.store.states.lane(EventStatus.PENDING)
        self._unsubscribe: Unsubscribe | None = None

    async def begin(self) -> None:
        """See ``WorkSource``."""
        self._unsubscribe = self._store.subscribe(Signal.READY, self._pool.wake)

    def take(self) -> Started | None:
        """See ``WorkSource``."""
        runtime, window = self._runtime, self._window  # a claim in memory needs no reservation
        if runtime.running >= runtime.slots or (
            window is not None and window.wait(self._pool.now())
        ):
            return None
        return self._claim_now(self._limits)

    async def next(self, worker: Worker) -> Started | None:
        """See ``WorkSource``."""
        pool, admission = self._pool, self._admission
        while not pool.closing:
            claim = self.take()
            if claim is not None:
                return claim
            if not admission.is_open:
                await admission.wait()
                continue
            claims, seconds = await self._client.claim(1, start=True)
            if claims:  # under limits, a later event may start before the next one
                return with_state(claims[0])
            await pool.sleep(seconds)
        return None

    def close(self) -> None:
        """See ``WorkSource``."""
        if self._unsubscribe is not None:
            self._unsubscribe()


class ReadySignal:
    """The signal of a store that a claim may find something new.

    It is armed before a claim. So no event is missed that becomes ready during the claim, and a
    store is not asked to watch for changes while no claim would follow.
    """

    def __init__(self, runtime: Runtime, wake: Callable[[], None]) -> None:
        self._store = runtime.store
        self._wake = wake
        self._unsubscribe: Unsubscribe | None = None
        self.is_armed = False

    def arm(self) -> None:
        """Wake the pool once, at the next signal."""
        if not self.is_armed:
            self.is_armed = True
            self._unsubscribe = self._store.subscribe(Signal.READY, self._came, once=True)

    def _came(self) -> None:
        self.is_armed = False
        self._wake()

    def close(self) -> None:
        """End the subscription."""
        if self._unsubscribe is not None:
            self._unsubscribe()


class CheckedSource:
    """Events that are claimed one at a time, each followed by its admission.

    So an event that waits for its admission does not keep a more urgent one from being claimed
    next.

    Args:
        runtime: The store.
        pool: The workers of the dispatcher.
        admission: Admits each event.
        client: Claims and settles events.
    """

    def __init__(
        self, runtime: Runtime, pool: WorkerPool, admission: Admission, client: StoreClient
    ) -> None:
        self._pool = pool
        self._admission = admission
        self._client = client
        self._signal = ReadySignal(runtime, self._ready)
        self.has_more: Sized | bool = True

    def _ready(self) -> None:
        self.has_more = True
        self._pool.wake()

    async def begin(self) -> None:
        """See ``WorkSource``."""

    def take(self) -> Started | None:
        """See ``WorkSource``. Each event waits for its admission."""
        return None

    async def next(self, worker: Worker) -> Started | None:
        """See ``WorkSource``."""
        pool, admission, signal = self._pool, self._admission, self._signal
        while not (pool.closing or worker.is_spent):
            await admission.wait()
            if pool.closing:
                break
            signal.arm()
            claim, seconds = await self.claim_one()
            self.has_more = seconds is not None or not signal.is_armed
            if claim is None:
                if signal.is_armed:  # else something has come since the claim was requested
                    await pool.sleep(seconds)
            elif await admission.admit(worker, claim) is None:
                return claim
        return None

    async def claim_one(self, **options: Any) -> tuple[Started | None, float | None]:
        """Claim the next event; a slot is reserved for it meanwhile."""
        admission = self._admission
        admission.reserve(1)
        claims: list[Claim] = []
        try:
            claims, seconds = await self._client.claim(1, **options)
        finally:
            admission.reserve(-1)
            if not claims:
                admission.slot_is_unused()
        return (with_state(claims[0]) if claims else None), seconds

    def close(self) -> None:
        """See ``WorkSource``."""
        self._signal.close()


class ClaimedBatch:
    """Events that were claimed together and have not started, each with a reserved slot.

    Args:
        runtime: The slots.
        pool: The workers of the dispatcher.
        admission: The reserved slots.
        client: Settles claims that do not start.
    """

    def __init__(
        self, runtime: Runtime, pool: WorkerPool, admission: Admission, client: StoreClient
    ) -> None:
        self._runtime = runtime
        self._pool = pool
        self._admission = admission
        self._client = client
        self._claims: deque[Claim] = deque()

    def add(self, claims: Iterable[Claim]) -> None:
        """Add claims, for each of which a slot is reserved."""
        self._claims.extend(claims)

    def take(self) -> Started | None:
        """Return the next event, to be started in its slot; None if there is none."""
        if not self._claims:
            return None
        claim, runtime = self._claims.popleft(), self._runtime
        is_full = runtime.running >= runtime.slots
        if is_full or (runtime.window is not None and not runtime.window.free(self._pool.now())):
            self._settle(claim, RELEASED)  # others have used its slot meanwhile
            return None
        self._admission.reserve(-1)
        return with_state(claim)

    def withdraw(self, event: Event, cause: Cause) -> bool:
        """Settle a claimed event; return False if it is another one."""
        for claim in self._claims:
            if claim[0] is event:
                self._claims.remove(claim)
                is_cancel = cause is Cause.CANCEL
                self._settle(claim, cancelled_while_waiting() if is_cancel else RELEASED)
                return True
        return False

    def release(self) -> None:
        """Return all claims to the store. If the event loop is closed, the leases lapse."""
        while self._claims:
            claim = self._claims.popleft()
            if self._pool.loop.is_running():
                self._settle(claim, RELEASED)

    def _settle(self, claim: Claim, outcome: Outcome) -> None:
        """Settle a claim that does not start, and give its slot back."""
        self._admission.give_back(1)
        self._client.settle_soon(claim, outcome)


class BatchingSource:
    """Events of a store that waits, claimed for all free slots at once.

    A commit takes about as long for a hundred events as for one. Each claimed event starts in the
    same turn of the event loop or one of the next, in a slot that is reserved for it.

    Args:
        runtime: The store and the slots.
        pool: The workers of the dispatcher.
        admission: The slots and the rate limit.
        client: Claims events.
        batch: The claimed events.
    """

    def __init__(
        self,
        runtime: Runtime,
        pool: WorkerPool,
        admission: Admission,
        client: StoreClient,
        batch: ClaimedBatch,
    ) -> None:
        self._runtime = runtime
        self._pool = pool
        self._admission = admission
        self._client = client
        self._batch = batch
        self._signal = ReadySignal(runtime, self._ready)
        self._starts_claims = isinstance(runtime.store, BufferedPath) and runtime.window is None
        self.take = batch.take
        self.has_more: Sized | bool = True

    def _ready(self) -> None:
        self.has_more = True
        self._pool.wake()

    async def begin(self) -> None:
        """See ``WorkSource``."""

    async def next(self, worker: Worker) -> Started | None:
        """See ``WorkSource``."""
        pool, signal = self._pool, self._signal
        while not pool.closing:
            free = await self._admission.wait_for_starts()
            if pool.closing:
                break
            signal.arm()
            claims, seconds = await self._claim(free)
            pool.begin_turn()  # other tasks had their turn while the store took its time
            self.has_more = seconds is not None or len(claims) > 1 or not signal.is_armed
            self._batch.add(claims)
            if self._pool.closing or self._runtime.paused:  # since the claim was requested
                self._batch.release()
            elif claims:
                return None
            elif signal.is_armed:  # else something has come since the claim was requested
                await pool.sleep(seconds)
        return None

    async def _claim(self, free: int) -> tuple[list[Claim], float | None]:
        """Claim events for free slots, which are reserved for them."""
        is_shown = self._starts_claims and self._runtime.observers.level < Level.ALL
        admission = self._admission
        admission.reserve(free)
        try:
            claims, seconds = await self._client.claim(free, start=is_shown)
        except BaseException:
            admission.give_back(free)
            raise
        admission.give_back(free - len(claims))
        return claims, seconds

    def close(self) -> None:
        """See ``WorkSource``."""
        self._signal.close()


def with_state(claim: Claim) -> Started:
    """Return a claim with the ``__dict__`` of its event, which is slow to look up."""
    event: EventData = claim[0]
    return event, claim[1], event.__dict__
