"""The two purposes of a crew: to run what comes, and to run one round."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

from ..rules.lifecycle import RELEASED, Completion, Outcome
from ..stores.contract import Claim
from .hands import Worker
from .permission import Admission
from .workshop import Workshop

__all__ = ("Loop", "Round")


class Loop(Admission):
    """Runs what comes until it is closed, within the window."""

    def __init__(self, shop: Workshop) -> None:
        super().__init__(shop)
        if shop.now is not None and not self._formal:
            self._take, self._complete = shop.now.claim_now, shop.now.complete_now

    async def _stretch(self, worker: Worker) -> Claim | None:
        # The hot path, written out: it does for a plain event what `_work`, `_attempt` and
        # `_conclude` do for any, in one frame.
        shop, guard, clock, plain = self.shop, worker.guard, self._now, self._plain
        take, complete = self._take, self._complete
        assert take is not None, "it is called for what can be taken"
        cancelling, observers, clean = worker.task.cancelling, shop.observers, worker.clean
        event: Any
        response: Any
        while shop.running < shop.slots and not self._closing:
            claim = take()
            if claim is None:
                break
            self._more = True
            event, attempt = claim
            own = event.__dict__  # pydantic makes `event.timeout` three times as slow
            if type(event) not in plain or own["timeout"] is not None or own["streaming"]:
                return claim
            if observers.active or complete is None:
                return claim
            if not self._called:
                self._call()
            shop.running += 1
            worker.claim = claim
            outcome: Outcome | None = None
            response = None
            began = clock()
            try:
                response = await event._invoke()
                if guard.cause is not None:
                    guard.over()
            except BaseException as error:
                outcome = self._explain(worker, event, error)
            ended = clock()
            if outcome is not None or worker.left or cancelling() or observers.active:
                outcome = outcome or Completion(response, 0.0)
                await self._conclude(worker, claim, outcome, ended - began)
            else:
                worker.claim = None
                shop.running -= 1
                complete(event, attempt, response, ended - began)
                if shop.on_free:
                    shop.ring_free()
            if worker.left or copy_context() != clean:
                break
            if ended > self._turn:
                await self._give_turn()
        return None

    async def _next(self, worker: Worker) -> Claim | None:
        shop = self.shop
        while not self._closing and not worker.left:
            if shop.window is not None or shop.running + shop.promised >= shop.slots:
                await self._until_allowed()
                if self._closing:
                    break
            if not self._armed:
                # Hung before the claim, so that no event slips in between; and it goes on
                # to call while this worker runs what it found and nobody looks.
                self._armed = True
                shop.store.on_ready(self._bell)
            claims, wait = await self._claim_one(start=self._starts)
            self._more = wait is not None or not self._armed
            if not claims:
                if self._armed:  # else something has come since the claim was asked for
                    await self._sleep(wait)
            elif self._starts or await self._admit(worker, claims[0]):
                return claims[0]
            elif self._is_spent(worker):
                break
        return None

    async def _until_allowed(self) -> None:
        shop = self.shop
        while self._may_wait():
            await self._until_slot()
            if shop.window is None or not (wait := shop.window.wait(self._now())):
                return
            await self._sleep(wait)


class Round(Admission):
    """Runs what is due, each event once and ``most`` at most, and ends; a denial ends it early.

    Args:
        shop: What it shares with the other crews.
        most: How many events it may start; None: no limit.
    """

    def __init__(self, shop: Workshop, most: int | None) -> None:
        super().__init__(shop)
        self._left = most
        self._until = shop.store.last_arrival()
        self._seen: set[int] = set()
        self._skip: set[int] = set()  # came back in this round: for the next one
        self._starts, self._formal = False, True

    async def _next(self, worker: Worker) -> Claim | None:
        while self._left != 0:
            await self._until_slot()
            if self._closing:
                return None
            claims, wait = await self._claim_one(until=self._until, skip=self._skip, denied=True)
            if not claims:
                break
            if await self._accepts(worker, claims[0]):
                self._more = wait == 0.0 and self._left != 0
                return claims[0]
            if self._is_spent(worker):
                return None
        self.close()
        return None

    async def _accepts(self, worker: Worker, claim: Claim) -> bool:
        """Whether the round runs what it claimed."""
        number = claim[0].execution.arrival
        assert number is not None
        if number in self._seen:
            self._skip.add(number)
            self._stay_free()
            await self._settle_unstarted(claim, RELEASED)
            return False
        self._seen.add(number)
        if not self.shop.direct and not await self._admit(worker, claim):
            return False
        if self._left is not None:
            self._left -= 1
        return True

    def hold_back(self) -> None:
        self.close()

    async def _until_allowed(self) -> None:
        await self._until_slot()

    def _denied(self) -> None:
        self.close()
