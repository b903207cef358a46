"""Claims and settlements of one dispatcher, which may each take time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..errors import ExistsError, NotFoundError, ValidationError
from ..model.event_data import EventData
from ..model.execution import EventStatus
from ..rules.limits.meter import refusal_of
from ..rules.state_machine import RELEASED, Ending, Outcome, after_cancel, after_unstorable
from ..stores.contract import Claim, Settled
from .runtime import Runtime

__all__ = ("StoreClient",)

_PENDING = EventStatus.PENDING


class StoreClient:
    """Claims events for a dispatcher, and records their outcomes.

    An event may be cancelled while its claim is under way. The client then returns the claim to the
    store, which has the request and records the event as CANCELLED.

    Args:
        runtime: The store and the observers.
        fail: Called with an error of the store in a task of the client, and with KeyboardInterrupt
            or SystemExit of user code, once it is recorded.
    """

    def __init__(self, runtime: Runtime, fail: Callable[[BaseException], None]) -> None:
        self._runtime = runtime
        self._fail = fail
        self._claiming = 0  # claims under way
        self._cancelled: list[EventData] = []  # cancelled while claims were under way
        self._settling: set[asyncio.Task[None]] = set()

    def cancel(self, event: EventData) -> None:
        """Note the cancel of an event that no worker has: a claim under way may return it."""
        if self._claiming:
            self._cancelled.append(event)

    async def claim(self, n: int, **options: Any) -> tuple[list[Claim], float | None]:
        """Claim up to ``n`` events; see ``Store.claim``. None of them is cancelled or refused."""
        runtime = self._runtime
        if runtime.limits is not None:
            options["limits"] = runtime.limits
        while True:
            self._claiming += 1
            try:
                claims, seconds = await runtime.store.claim(runtime.name, n, **options)
            finally:
                self._claiming -= 1
            # Nothing is awaited from here on: user code may cancel a worker whose task it has kept.
            is_checked = self._cancelled or runtime.limits is not None
            wanted = self._wanted(claims) if is_checked else claims
            if wanted or not claims:
                return wanted, seconds

    def _wanted(self, claims: list[Claim]) -> list[Claim]:
        """Return the claims that may start; settle those of cancelled and of refused events."""
        wanted = list[Claim]()
        for claim in claims:
            refusal = refusal_of(claim[0])
            if any(claim[0] is event for event in self._cancelled):
                self.settle_soon(claim, RELEASED)
            elif refusal is not None:  # it can never start under the limits
                failed = Ending(EventStatus.FAILED, error=refusal, retryable=False, tries=1)
                self.settle_soon(claim, failed)
            else:
                wanted.append(claim)
        if not self._claiming:
            self._cancelled.clear()
        return wanted

    async def settle(self, claim: Claim, outcome: Outcome) -> Outcome | None:
        """Record an outcome.

        Returns:
            The outcome that was recorded by this call; None if nothing was recorded.
        """
        store = self._runtime.store
        try:
            (answer,) = await store.settle(((*claim, outcome),))
        except ValidationError as error:  # it is too large to be stored
            outcome = after_unstorable(error, outcome.duration)
            (answer,) = await store.settle(((*claim, outcome),))
        except (ExistsError, NotFoundError) as error:  # of a continuation
            failed = Ending(EventStatus.FAILED, error=error, retryable=False, tries=1)
            failed.duration, outcome = outcome.duration, failed
            (answer,) = await store.settle(((*claim, outcome),))
        if answer is Settled.FENCED:
            self._runtime.observers.lost += 1
        if isinstance(outcome.error, KeyboardInterrupt | SystemExit):
            self._fail(outcome.error)
        if answer is Settled.CANCELLED:
            return after_cancel(outcome.error, outcome.duration)
        return outcome if answer is Settled.APPLIED else None

    async def settle_unstarted(self, claim: Claim, outcome: Outcome) -> None:
        """Record an outcome that no attempt of a worker has ended with; notify the observers."""
        event, before = claim[0], claim[0].execution.status
        recorded, observers = await self.settle(claim, outcome), self._runtime.observers
        if recorded is not None and (observers.level or recorded.status is not _PENDING):
            observers.notify(event, before, recorded.status, recorded)

    def settle_soon(self, claim: Claim, outcome: Outcome) -> None:
        """Settle a claim that does not start, in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._settle_or_fail(claim, outcome))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle_or_fail(self, claim: Claim, outcome: Outcome) -> None:
        try:
            await self.settle_unstarted(claim, outcome)
        except Exception as error:
            self._fail(error)

    async def close(self) -> None:
        """Wait for the settlements of claims that did not start."""
        while self._settling:
            await asyncio.wait(self._settling)
