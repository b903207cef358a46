"""Permission: asked for one event after another, between its claim and its start."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any

from ..model.event_data import Work
from ..model.execution import EventStatus
from ..rules.lifecycle import (
    RELEASED,
    Cause,
    Defer,
    Ending,
    Outcome,
    after_denial,
    after_expiry,
    cancelled_while_waiting,
)
from ..stores.contract import Claim
from .crew import Crew
from .event import Event
from .hands import Worker
from .workshop import Workshop

__all__ = ("Admission",)


class Admission(Crew):
    """A crew whose looker admits what it claimed, or settles why it may not start."""

    def __init__(self, shop: Workshop) -> None:
        super().__init__(shop)
        self._admitted: Work | None = None  # claimed, and waiting for its turn or for room
        self._admitting: Worker | None = None
        self._dropped = False  # ... and cancelled meanwhile
        self._held_back = False  # ... and the workshop was paused meanwhile

    def _forget(self, worker: Worker) -> None:
        if worker is self._admitting:
            self._admitted = self._admitting = None
        self._asked(worker)

    def end(self, event: Event, cause: Cause) -> bool:
        if super().end(event, cause):
            return True
        if self._admitted is event:
            self._dropped = True
            self._wake()
            return True
        return False

    def hold_back(self) -> None:
        if self._admitted is not None:
            self._held_back = True
            self._stop_asking()
            self._wake()

    async def _admit(self, worker: Worker, claim: Claim) -> bool:
        """Ask permission for a claimed event; if it cannot start now, settle what that means."""
        self._admitted, self._admitting = claim[0], worker
        try:
            outcome = RELEASED if self.shop.paused else await self._permit(worker, claim)
            if self._dropped and outcome is not None and outcome.status is EventStatus.PENDING:
                outcome = cancelled_while_waiting()  # a cancel goes before a release or a denial
        except asyncio.CancelledError:
            await self._settle_unstarted(claim, RELEASED)
            raise
        finally:
            if worker is self._admitting:  # not if it was left behind, long ago
                self._admitted, self._admitting = None, None
                self._dropped = self._held_back = False
        if worker.left:
            return False  # settled already
        if outcome is not None:
            self._stay_free()
            await self._settle_unstarted(claim, outcome)
            if isinstance(outcome, Ending) and outcome.denials:
                self._denied()
        return outcome is None

    async def _permit(self, worker: Worker, claim: Claim) -> Outcome | None:
        """Ask, and wait until a start is allowed: None, or what is to be settled instead."""
        outcome = None
        if self.shop.asks:
            while self.shop.asker is not None and self._may_wait():
                await self._sleep_until_free()
            if self._may_wait():
                outcome = await self._ask(worker, claim)
        if outcome is None and not worker.left:
            await self._until_allowed()
        if outcome is None and not self._may_wait():
            outcome = cancelled_while_waiting() if self._dropped else RELEASED
        return outcome or self._too_late(claim)

    def _too_late(self, claim: Claim) -> Ending | None:
        """What it means if the time by which the event had to start is over."""
        state = claim[0].execution
        if state.expires is None or self.shop.store.time() < state.expires:
            return None
        return after_expiry(state)

    def _denied(self) -> None:
        """An event was denied permission."""

    def _may_wait(self) -> bool:
        """Whether the one who looks may go on waiting for what it waits for."""
        return not (self._closing or self._dropped or self._held_back)

    async def _ask(self, worker: Worker, claim: Claim) -> Outcome | None:
        """None if the event may start; else what is to be settled."""
        event: Any = claim[0]
        guard, self.shop.asker, worker.claim = worker.guard, worker, claim
        try:
            if event.timeout is not None:
                guard.limit(event.timeout)
            granted = await self.shop.ask(event)
        except BaseException as error:
            asked_to_stop = guard.cause is Cause.INTERRUPT
            outcome = self._explain(worker, event, error)
            return RELEASED if asked_to_stop else outcome
        finally:
            worker.claim = None
            if worker.task.cancelling() and not worker.left:
                await self._recover(worker)
            self._asked(worker)
        guard.over()
        if isinstance(granted, Defer):
            return Ending(EventStatus.PENDING, delay=granted.seconds)
        return None if granted else after_denial(event.execution.denials, self.shop.backoff)

    def _asked(self, worker: Worker) -> None:
        """Let the next one ask."""
        if self.shop.asker is worker:
            self.shop.asker = None
            self.shop.ring_free()

    async def _claim_one(self, **how: Any) -> tuple[list[Claim], float | None]:
        """Claim the next event, with a slot kept for it meanwhile."""
        self._promise(1)
        claims: list[Claim] = []
        try:
            claims, wait = await self._claim(1, **how)
        finally:
            self._promise(-1)
            if not claims:
                self._stay_free()
        return claims, wait

    def _stay_free(self) -> None:
        """What was claimed does not start: its slot may be another's."""
        if self.shop.now is None:  # else nobody saw it kept
            self.shop.ring_free()

    async def _until_slot(self) -> None:
        """Wait until an event may run beside those that do, or are about to."""
        shop = self.shop
        while shop.running + shop.promised >= shop.slots and self._may_wait():
            await self._sleep_until_free()

    async def _sleep_until_free(self) -> None:
        self.shop.on_free.append(self._wake)
        await self._sleep(None)

    @abstractmethod
    async def _until_allowed(self) -> None:
        """Wait until a start is allowed."""
