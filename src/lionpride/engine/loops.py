"""The two purposes of a crew: to run what comes, and to run one round."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sized
from operator import methodcaller
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias
from weakref import ref

from ..model.execution import EventStatus
from ..rules.lifecycle import RELEASED, Completion, Outcome
from ..stores.contract import Claim, Started
from ..stores.listeners import Signal
from .attempt import SLICE
from .attempt_context import RUNNING
from .hands import Worker
from .permission import Admission
from .workshop import Workshop

__all__ = ("Loop", "Round")

Code: TypeAlias = Callable[[Any], Awaitable[Any]]
Take: TypeAlias = Callable[[], Started | None]
Complete: TypeAlias = Callable[[Any, int, Any, float], object]


class Above:
    """What a class inherits, by name, as it is now."""

    def __init__(self, kind: type) -> None:
        self._homes = [vars(base) for base in kind.__mro__]

    def __contains__(self, name: str) -> bool:
        return any(name in home for home in self._homes)

    def __getitem__(self, name: str) -> Any:
        return next(home[name] for home in self._homes if name in home)


class Known(NamedTuple):
    """What runs the events of a class.

    Attributes:
        code: Its function itself, which saves making a method of it; None if more than the event
            has to be looked at.
        found: What the class had for an ``_invoke``.
        home: Where that stood. Somebody may put other code there, and is to be noticed at a price
            that an idle crew does not feel: to ask the class itself is dear, as pydantic has its
            hand in that.
    """

    code: Code | None
    found: Any
    home: Any

    @classmethod
    def of(cls, kind: Any) -> Known:
        """Look at a class."""
        home = vars(kind) if "_invoke" in vars(kind) else Above(kind)
        found = home["_invoke"]
        usual = isinstance(found, FunctionType)  # it is neither static nor the class's
        return cls(found if usual else methodcaller("_invoke"), found, home)

    def holds(self) -> bool:
        """Whether the class has the same code still."""
        return "_invoke" in self.home and self.home["_invoke"] is self.found


_NOT_PLAIN = Known(None, None, {})


class Loop(Admission):
    """Runs what comes until it is closed, within the window."""

    def __init__(self, shop: Workshop) -> None:
        super().__init__(shop)
        self._codes: dict[type, Known] = {}  # of plain classes
        self._pass_on: Callable[[Started, Any, float], Started | None] = self._complete_and_take
        if shop.now is not None and not self._formal:
            now, limits = shop.now, shop.limits
            plain = now.claim_now, now.complete_now, now.next_now
            ways = plain if limits is None else now.within(limits)
            self._take, self._complete, self._pass_on = ways
        # If `_take` finds nothing, no claim needs to ask again: a listener says when.
        self._all_taken = self._take is not None and shop.limits is None
        pending = shop.store.states.lane(EventStatus.PENDING)
        self._pending: Sized | bool = pending if self._all_taken else True  # whether more may be

    def _listen(self) -> None:
        if self._all_taken and self.shop.now is not None:
            self._unlisten = self.shop.store.subscribe(Signal.READY, self._rouse)

    async def _stretch(self, worker: Worker) -> Claim | None:
        shop, take, complete = self.shop, self._take, self._complete
        assert take is not None, "it is called for what can be taken"
        claim: Started | None
        while shop.running < shop.slots and not self._closing:
            claim = take()
            if claim is None:
                claim = await self._doze(worker, take)
                if claim is None:
                    break
                self._turn = self._now() + SLICE
            if complete is not None and self._code_of(type(claim[0])).code is not None:
                series = self._series(worker, claim, take, complete)
                claim = None  # it may sleep, and who sleeps keeps no event
                claim = await series
            if claim is not None:
                self._more = True
                return claim[:2]
            if self._is_spent(worker):
                break
            if self._now() > self._turn:
                await self._give_turn()
        return None

    async def _doze(self, worker: Worker, take: Take) -> Started | None:
        """As the looker, sleep until there is something to take; None if it is not to sleep.

        In an idle crew an event is waited for here. So there is no more than has to be between
        the end of the sleep and the start of the event.
        """
        shop, claim = self.shop, None
        while claim is None and self._may_doze():
            self._looker = worker
            try:
                _, wait = await self._claim(0)
                await self._lie_down(wait)
            finally:
                self._looker = self._asleep = None
                if self._errands:
                    self._get_up()
            if self._closing or shop.running >= shop.slots:
                break
            claim = take()
        return claim

    def _may_doze(self) -> bool:
        return self._all_taken and self._looker is None and not self._closing

    async def _series(  # noqa: C901, PLR0912, PLR0915 - the hot path, written out
        self, worker: Worker, claim: Any, take: Take, complete: Complete
    ) -> Any:
        """Run plain events one after another, in one slot and one frame, and sleep in between.

        The hot path, written out: it does for them what `_attempt` and `_conclude` do for any.

        Returns:
            A claim that takes more than that; None if there is none, or it is time for others.
        """
        shop, guard, observers, clock = self.shop, worker.guard, self.shop.observers, self._now
        pass_on, cancelling, holds = self._pass_on, worker.task.cancelling, shop.holds
        if counts := observers.counts:
            complete, pass_on = observers.counted(complete, pass_on)
        context, set_attempt = worker.context, RUNNING.set
        outcome: Outcome | None = None
        response, kind, code, found, home = None, None, *_NOT_PLAIN
        held: Any = True  # the slot
        shop.running += 1
        began = clock()
        try:
            while claim is not None:
                event, attempt, own = claim
                if type(event) is not kind:
                    kind = type(event)
                    code, found, home = self._code_of(kind)
                more = own["timeout"] is not None or own["streaming"] or "_invoke" in own
                if more or code is None or observers.counts is not counts:
                    return claim
                if (holds is not None and not holds(event, attempt)) or (
                    observers.active
                    and (
                        "_picked" in own
                        or began >= observers.next
                        or (observers.asks and observers.picks(event))
                    )
                ):
                    return claim  # the slow path gives it up, or tells the observers
                if not self._called and self._pending:
                    self._call()
                worker.claim, own["_began"] = claim, began
                set_attempt((ref(event), attempt))  # `Worker.enter`, written out
                worker.clean = clean = context.copy()
                try:
                    response = await code(event)
                    if guard.cause is not None:
                        guard.over()
                except BaseException as error:
                    outcome = self._explain(worker, event, error)
                ended = clock()
                if outcome is not None or worker.left or cancelling() or observers.active > 1:
                    worker.leave()
                    held, outcome = False, outcome or Completion(response, 0.0)
                    await self._conclude(worker, claim[:2], outcome, ended - began)
                    return None
                worker.claim = None
                others = shop.on_free or shop.running > shop.slots or self._closing
                if others or ended > self._turn or context != clean:
                    worker.leave()
                    complete(event, attempt, response, ended - began)
                    return None
                claim = pass_on(claim, response, ended - began)
                began = ended  # less than a microsecond ago: a clock costs a twentieth of it all
                if claim is None:
                    worker.leave()
                    held = event = own = response = None  # as above
                    self._free_slot()
                    claim = await self._doze(worker, take)
                    shop.running += (held := claim is not None)
                    self._turn = (began := clock()) + SLICE
                    kind = kind if "_invoke" in home and home["_invoke"] is found else None
        finally:
            if held and not worker.left:
                self._free_slot()
        return None

    def _complete_and_take(self, done: Started, response: Any, duration: float) -> Started | None:
        """Hand over an event that ended well, and take another in its slot."""
        assert self._complete is not None, "it is called for what can be handed over"
        assert self._take is not None, "and for what can be taken"
        event: Any = done[0]
        self._complete(event, done[1], response, duration)
        self.shop.running -= 1
        try:
            return self._take()
        finally:
            self.shop.running += 1

    def _code_of(self, kind: type) -> Known:
        """What runs an event of a class, if nothing but the event has to be looked at for it."""
        known = self._codes.get(kind)
        if known is not None and not known.holds():
            known = None
            self._plain.discard(kind)  # what is there now may not even be async
        if known is None:
            if kind not in self._plain:
                return _NOT_PLAIN
            known = self._codes[kind] = Known.of(kind)
        return known

    def _arm(self) -> None:
        """Have the store call when there may be something new to claim."""
        if not self._armed:
            self._armed = True
            self._unlisten = self.shop.store.subscribe(Signal.READY, self._ring, once=True)

    async def _next(self, worker: Worker) -> Claim | None:
        shop = self.shop
        if self._all_taken:
            await self._until_slot()
            return None
        while not self._closing and not worker.left:
            if shop.window is not None or shop.running + shop.promised >= shop.slots:
                await self._until_allowed()
                if self._closing:
                    break
            # Before the claim, so that no event slips in between; and the store goes on to call
            # while this worker runs what it found and nobody looks.
            self._arm()
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
        self._until: int | None = None  # what has arrived when it begins
        self._seen: set[int] = set()
        self._skip: set[int] = set()  # came back in this round: for the next one
        self._starts, self._formal = False, True

    async def run(self) -> None:
        self._until = await self.shop.store.last_arrival()
        await super().run()

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
