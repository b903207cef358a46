"""Dealing: one claim for all free slots, where a claim has to wait for its store.

A commit takes about as long for a hundred events as for one. So the looker claims as many as
may start at once, and deals them out; each starts within the same turn of the loop, or the next
few. A processor that asks permission claims one at a time all the same: what waits for an answer
must not keep a more urgent event from being asked first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from ..model.execution import EventStatus
from ..rules.lifecycle import RELEASED, Cause, Outcome, cancelled_while_waiting
from ..stores.contract import BufferedPath, Claim, Started
from .attempt import SLICE
from .event import Event
from .hands import Worker
from .loops import Loop
from .workshop import Workshop

__all__ = ("Dealing",)

_PENDING = EventStatus.PENDING


class Dealing(Loop):
    """Runs what comes until it is closed, within the window, over a store whose verbs wait."""

    def __init__(self, shop: Workshop) -> None:
        super().__init__(shop)
        self._most += 1  # one looks ahead while the slots are taken
        self._formal = True
        self._dealt: deque[Claim] = deque()
        self._put_back: set[asyncio.Task[None]] = set()
        self._buffered = shop.store if isinstance(shop.store, BufferedPath) else None
        if not shop.asks:
            self._take = self._deal
            if self._buffered is not None and shop.window is None:
                self._complete = self._buffered.complete_soon
                self._pass_on = self._complete_and_deal

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self._return_dealt()
            while self._put_back and self._loop.is_running():
                await asyncio.wait(self._put_back)
            if self._buffered is not None and self._loop.is_running():
                await self._buffered.settled()
            self._promise(-self._owed)
        if self.fatal is not None:  # since then
            raise self.fatal

    def close(self) -> None:
        super().close()
        self._return_dealt()

    def hold_back(self) -> None:
        super().hold_back()
        self._return_dealt()

    def abandon(self) -> None:
        self._return_dealt()
        super().abandon()

    def _return_dealt(self) -> None:
        """Release what was dealt and has not started: others may want it now."""
        while self._dealt:
            claim = self._dealt.popleft()
            if self._loop.is_running():  # else its lease lapses
                self._withdraw(claim, RELEASED)

    def _deal(self) -> Started | None:
        """The next of what was claimed for all; it goes back if others took its room meanwhile."""
        if not self._dealt:
            return None
        shop, claim = self.shop, self._dealt.popleft()
        if shop.running >= shop.slots or (
            shop.window is not None and not shop.window.free(self._now())
        ):
            self._withdraw(claim, RELEASED)
            return None
        if self._owed:  # `_promise(-1)`, a call shorter
            self._owed -= 1
            shop.promised -= 1
        own = claim[0].__dict__
        if own["_status"] == "pending":
            self._start_late(claim)
        return *claim, own

    def _complete_and_deal(self, done: Started, response: Any, duration: float) -> Started | None:
        """As ``_complete_and_take``, where who calls has seen that the slot may be used again."""
        assert self._complete is not None, "it is called for what can be handed over"
        event: Any = done[0]
        self._complete(event, done[1], response, duration)
        if not self._dealt:
            return None
        event, attempt = self._dealt.popleft()
        if self._owed:  # `_promise(-1)`, a call shorter
            self._owed -= 1
            self.shop.promised -= 1
        own = event.__dict__
        if own["_status"] == "pending":
            self._start_late((event, attempt))
        return event, attempt, own

    def _start_late(self, claim: Claim) -> None:
        """Show as started what was not with its claim, as somebody observed: perhaps none does now.

        Else the quick way would run it while it waits.
        """
        if self._complete is not None:
            self.shop.store.start(claim[0])

    def _break(self, promises: int) -> None:
        """So many starts will not be made after all: others may."""
        self._promise(-promises)
        if promises:
            self.shop.ring_free()

    def _enter(self, event: Event, began: float) -> None:
        if self.shop.window is not None:
            self.shop.window.stamp(began)
        if event.execution.status is _PENDING:  # else it was shown as started with its claim
            self.shop.store.start(event)

    async def _next(self, worker: Worker) -> Claim | None:
        if self.shop.asks:
            return await super()._next(worker)
        shop = self.shop
        while self._may_wait():
            free = await self._until_free()
            if not self._may_wait():
                break
            self._arm()
            claims, wait = await self._claim_for(free)
            self._more = wait is not None or len(claims) > 1 or not self._armed
            self._dealt.extend(claims)
            self._turn = self._now() + SLICE  # others have had theirs while the store took its time
            if not self._may_wait() or shop.paused:  # since they were asked for
                self._return_dealt()
            elif claims:
                return None  # to be taken from what is dealt, as the others do
            elif self._armed:  # else something has come since the claim was asked for
                await self._sleep(wait)
        return None

    async def _claim_for(self, free: int) -> tuple[list[Claim], float | None]:
        """Claim for so many slots; they are promised to what is claimed, and to nothing else."""
        start = self._complete is not None and self.shop.observers.active < 2
        self._promise(free)
        try:
            claims, wait = await self._claim(free, start=start)
        except BaseException:
            self._break(free)
            raise
        self._break(free - len(claims))
        return claims, wait

    async def _until_free(self) -> int:
        """Wait until events may start; how many."""
        shop = self.shop
        while self._may_wait():
            free = shop.slots - shop.running - shop.promised
            if free > 0 and shop.window is not None:
                free = min(free, shop.window.free(self._now()) - shop.promised)
            if free > 0:
                return free
            if shop.running + shop.promised >= shop.slots or shop.window is None:
                await self._sleep_until_free()
            else:
                shop.on_free.append(self._wake)  # a promise may be broken
                await self._sleep(shop.window.wait(self._now()) or 0.001)
        return 0

    def end(self, event: Event, cause: Cause) -> bool:
        for claim in self._dealt:
            if claim[0] is event:
                self._dealt.remove(claim)
                cancelled = cause is Cause.CANCEL
                self._withdraw(claim, cancelled_while_waiting() if cancelled else RELEASED)
                return True
        return super().end(event, cause)

    def _withdraw(self, claim: Claim, outcome: Outcome) -> None:
        """Settle a claim that is not to be started."""
        self._break(1)
        task = self._loop.create_task(self._settle_beside(claim, outcome))
        self._put_back.add(task)
        task.add_done_callback(self._put_back.discard)
