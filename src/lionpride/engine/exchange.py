"""What a crew exchanges with its store: claims for outcomes, and each may take its time.

An event may be cancelled while its claim is on the way here. The crew remembers that and gives the
claim back unstarted. The store keeps the request with the claim, and records it as CANCELLED.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ..errors import ValidationError
from ..model.execution import EventStatus
from ..rules.lifecycle import RELEASED, Ending, Outcome, after_cancel, after_unstorable
from ..rules.meters import refusal_of
from ..stores.contract import Claim, Settled
from .attempt_context import RUNNING
from .event import Event
from .hands import Hands
from .workshop import INSIDE, Badge, Workshop

__all__ = ("Exchange",)

_PENDING = EventStatus.PENDING


class Exchange(Hands):
    """Hands that claim from a store, and settle with it.

    Args:
        shop: What they share with the other crews of the processor.
    """

    def __init__(self, shop: Workshop) -> None:
        super().__init__(shop.most)
        self.shop = shop
        self._context.run(INSIDE.set, Badge(shop.mark, self._loop, shop.executor))
        self._context.run(RUNNING.set, None)  # the caller may be the code of another event
        self._claiming = 0  # claims under way
        self._unwanted: list[Event] = []  # cancelled meanwhile, perhaps in one of them

    @abstractmethod
    def _after_trouble(self, outcome: Outcome) -> None:
        """An outcome is on record that may ask the process to exit."""

    def _remember(self, event: Event) -> None:
        """An event was cancelled that is in nobody's hands now."""
        if self._claiming:
            self._unwanted.append(event)

    async def _claim(self, n: int, **how: Any) -> tuple[list[Claim], float | None]:
        """Claim from the store; give back what was cancelled before the claim was here."""
        if self.shop.limits is not None:
            how["limits"] = self.shop.limits
        while True:
            self._claiming += 1
            try:
                claims, wait = await self.shop.store.claim(self.shop.name, n, **how)
            finally:
                self._claiming -= 1
            wanted = claims if not self._unwanted else await self._without_unwanted(claims)
            if self.shop.limits is not None:
                wanted = await self._without_refused(wanted)
            if wanted or not claims:
                return wanted, wait

    async def _without_unwanted(self, claims: list[Claim]) -> list[Claim]:
        """Give back those of the claims that were cancelled meanwhile; return the others."""
        unwanted = [claim for claim in claims if any(claim[0] is e for e in self._unwanted)]
        if not self._claiming:
            self._unwanted.clear()
        for claim in unwanted:
            await self._settle_unstarted(claim, RELEASED)
        return [claim for claim in claims if claim not in unwanted]

    async def _without_refused(self, claims: list[Claim]) -> list[Claim]:
        """Settle those of the claims that can never start; the others."""
        wanted = []
        for claim in claims:
            refusal = refusal_of(claim[0])
            if refusal is None:
                wanted.append(claim)
            else:
                failed = Ending(EventStatus.FAILED, error=refusal, retryable=False, tries=1)
                await self._settle_unstarted(claim, failed)
        return wanted

    async def _settle(self, claim: Claim, outcome: Outcome) -> Outcome | None:
        """Put on record what came of a claim; what this has recorded, None if nothing."""
        try:
            (answer,) = await self.shop.store.settle(((*claim, outcome),))
        except ValidationError as error:  # it is too large to be stored
            outcome = after_unstorable(error, outcome.duration)
            (answer,) = await self.shop.store.settle(((*claim, outcome),))
        if answer is Settled.FENCED:
            self.shop.observers.lost += 1
        self._after_trouble(outcome)
        if answer is Settled.CANCELLED:
            return after_cancel(outcome.error, outcome.duration)
        return outcome if answer is Settled.APPLIED else None

    async def _settle_unstarted(self, claim: Claim, outcome: Outcome) -> None:
        """Settle what no attempt of this crew's own ended, and tell of it."""
        event, _ = claim
        before, observers = event.execution.status, self.shop.observers
        recorded = await self._settle(claim, outcome)
        if recorded is not None and (observers.active or recorded.status is not _PENDING):
            observers.tell(event, before, recorded.status, recorded)
