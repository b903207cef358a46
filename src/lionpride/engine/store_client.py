"""Claims and settlements of one dispatcher, which may each take time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ValidationError
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
        exit: Called with KeyboardInterrupt or SystemExit of user code, once it is recorded.
    """

    def __init__(self, runtime: Runtime, exit: Callable[[BaseException], None]) -> None:  # noqa: A002
        self._runtime = runtime
        self._exit = exit
        self._claiming = 0  # claims under way
        self._cancelled: list[
            EventData
        ] = []  # events that were cancelled while claims were under way

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
            wanted = await self._without_cancelled(claims) if self._cancelled else claims
            if runtime.limits is not None:
                wanted = [claim for claim in wanted if not await self.settle_refused(claim)]
            if wanted or not claims:
                return wanted, seconds

    async def _without_cancelled(self, claims: list[Claim]) -> list[Claim]:
        """Return the claims whose events were not cancelled meanwhile; release the others."""
        cancelled = [claim for claim in claims if any(claim[0] is e for e in self._cancelled)]
        if not self._claiming:
            self._cancelled.clear()
        for claim in cancelled:
            await self.settle_unstarted(claim, RELEASED)
        return [claim for claim in claims if claim not in cancelled]

    async def settle_refused(self, claim: Claim) -> bool:
        """Settle an event as FAILED that can never start under the limits; False for any other."""
        refusal = refusal_of(claim[0])
        if refusal is None:
            return False
        failed = Ending(EventStatus.FAILED, error=refusal, retryable=False, tries=1)
        await self.settle_unstarted(claim, failed)
        return True

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
        if answer is Settled.FENCED:
            self._runtime.observers.lost += 1
        if isinstance(outcome.error, KeyboardInterrupt | SystemExit):
            self._exit(outcome.error)
        if answer is Settled.CANCELLED:
            return after_cancel(outcome.error, outcome.duration)
        return outcome if answer is Settled.APPLIED else None

    async def settle_unstarted(self, claim: Claim, outcome: Outcome) -> None:
        """Record an outcome that no attempt of a worker has ended with; notify the observers."""
        event, before = claim[0], claim[0].execution.status
        recorded, observers = await self.settle(claim, outcome), self._runtime.observers
        if recorded is not None and (observers.level or recorded.status is not _PENDING):
            observers.notify(event, before, recorded.status, recorded)
