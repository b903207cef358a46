"""What a crew exchanges with its store: claims for outcomes, and each may take its time.

Somebody may cancel an event while it is between the two: claimed but not here yet, or sent back
but not on record yet. Such a request is remembered until it can be met.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from typing import Any

from ..errors import NotFoundError
from ..model.execution import EventStatus
from ..rules.lifecycle import Ending, Outcome, cancelled_while_waiting
from ..rules.meters import refusal_of
from ..stores.contract import Cancelled, Claim, Settled
from .event import Event
from .hands import Hands
from .workshop import INSIDE, Badge, Workshop

__all__ = ("Exchange",)

_PENDING = EventStatus.PENDING
_APPLIED = Settled.APPLIED


class Exchange(Hands):
    """Hands that claim from a store, and settle with it.

    Args:
        shop: What they share with the other crews of the processor.
    """

    def __init__(self, shop: Workshop) -> None:
        super().__init__(shop.most)
        self.shop = shop
        self._context.run(INSIDE.set, Badge(shop.mark, self._loop))
        self._claiming = 0  # claims under way
        self._unwanted: list[Event] = []  # cancelled meanwhile, perhaps in one of them
        self._leaving: set[int] = set()  # ids of objects whose outcome is on its way to the record
        self._recalled: list[Event] = []  # cancelled meanwhile

    @abstractmethod
    def _after_trouble(self, outcome: Outcome) -> None:
        """An outcome is on record that may ask the process to exit."""

    def _remember(self, event: Event) -> None:
        """An event was cancelled that is in nobody's hands now."""
        if id(event) in self._leaving:
            self._recalled.append(event)
        elif self._claiming:
            self._unwanted.append(event)

    async def _claim(self, n: int, **how: Any) -> tuple[list[Claim], float | None]:
        """Claim from the store; what is cancelled before the claim is here, is settled so."""
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
        """Settle those of the claims that were cancelled meanwhile; the others."""
        unwanted = [claim for claim in claims if any(claim[0] is e for e in self._unwanted)]
        if not self._claiming:
            self._unwanted.clear()
        for claim in unwanted:
            await self._settle_unstarted(claim, cancelled_while_waiting())
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

    async def _settle(self, claim: Claim, outcome: Outcome) -> Settled:
        """Put on record what came of a claim; a cancel that comes meanwhile is not forgotten."""
        event: Any = claim[0]
        self._leaving.add(id(event))
        try:
            (answer,) = await self.shop.store.settle(((*claim, outcome),))
        finally:
            self._leaving.discard(id(event))
        if answer is Settled.FENCED:
            self.shop.observers.lost += 1
        self._after_trouble(outcome)
        return answer

    async def _recall(self, event: Any, outcome: Outcome | None) -> None:
        """Cancel an event that was sent back to wait while somebody cancelled it."""
        asked = [each for each in self._recalled if each is not event]
        back = outcome is not None and outcome.status is _PENDING
        if back and len(asked) < len(self._recalled):
            with suppress(NotFoundError):  # removed since
                (answer,) = await self.shop.store.cancel((event,))
                if answer is Cancelled.DONE and self.shop.observers.active:
                    self.shop.observers.tell(event, _PENDING, EventStatus.CANCELLED)
        self._recalled = [each for each in self._recalled if each is not event]

    async def _settle_unstarted(self, claim: Claim, outcome: Outcome) -> None:
        """Settle what no attempt of this crew's own ended, and tell of it."""
        event, _ = claim
        before, observers = event.execution.status, self.shop.observers
        answer = await self._settle(claim, outcome)
        if answer is _APPLIED and (observers.active or outcome.status is not _PENDING):
            observers.tell(event, before, outcome.status, outcome)
        if self._recalled:
            await self._recall(event, outcome)
