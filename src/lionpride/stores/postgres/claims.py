"""Claiming events, and starting them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from math import inf
from typing import Any, Final

from ...model.work import Work
from ...rules.lifecycle import RELEASED
from ...rules.metering import Limits
from ..contract import Claim, Settled, Settlement
from ..sql.limits import UsageChange
from ..sql.local import heard, until_done
from ..sql.local_events import ClaimedEvents
from ..sql.rows import ReadyRow, SettlementRow
from . import hot_claim, queries
from .cleaning import Cleaning
from .link import Db
from .news import ENDED, EXPIRES, READY
from .opened import Opened
from .pipelines import Request, run_request
from .taking_in import TakingIn
from .transaction import LimitedStep

__all__ = ("SWEEP", "Claims")

SWEEP: Final = 1.0
"""Seconds between two looks for leases that have lapsed."""

AHEAD: Final = 4
"""How many times as much as runs at once may have ended and not be on record, and more be claimed.

What a killed process had not on record runs again: that, and what ran.
"""


class Claims(TakingIn):
    """The part of ``PostgresStore`` that claims."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cleaning = Cleaning()
        self._swept = -SWEEP
        self._others = False  # others hold leases
        self._notes = 0  # of steps that may have let go of something
        self._strangers = True  # what is claimed here has mostly been appended elsewhere

    # -- claiming ----------------------------------------------------------------------------

    async def claim(
        self,
        worker: str,
        n: int = 1,
        *,
        until: int | None = None,
        skip: Collection[int] = (),
        denied: bool = False,
        start: bool = False,
        limits: Limits | None = None,
    ) -> tuple[list[Claim], float | None]:
        opened = self._open
        self._names.add(worker)
        if not await self._may_claim():
            return [], SWEEP
        passed, avoided = self._not_claimed(skip)
        missing = {*self._still_missing(), *avoided}
        how = until, passed, denied, start
        step: Any = hot_claim.Claim(
            worker, n, self._lease, *how, missing, self._strangers, self._expiring()
        )
        if self._deeds:  # what is given back may be had at once
            await asyncio.wait(self._deeds)
        if opened.settle.behind and not await self._keeps_up(n):
            return [], SWEEP
        if limits is not None:
            step = LimitedStep(step, limits, self.runs)
        taken, notes = ClaimedEvents(), self._notes
        self._claiming += 1
        try:
            wait: float | None = await opened.ask(
                opened.claim,
                step,
                lambda answer: self._claimed(answer, step, taken, limits, notes),
            )
        except asyncio.CancelledError:
            taken.wanted = False  # nobody waits for them any more
            self._release(taken)
            raise
        finally:
            self._answered()
        if self._others and (wait is None or wait > SWEEP):
            wait = SWEEP  # another process may die
        taken.note_lease()
        return taken.claims, self._wait_for(wait)

    async def _may_claim(self) -> bool:
        """Return False if this process cannot renew its leases; else reap lapsed leases first."""
        if not self.heartbeat.is_healthy and not await self.heartbeat.becomes_healthy():
            return False
        if self.heartbeat.may_reap:
            self._tidy()
        else:
            self._others = True  # there may be some: a later claim reaps
        return True

    async def _keeps_up(self, n: int) -> bool:
        """Let the record of what has ended keep up; False if it cannot be written for now.

        Args:
            n: As for ``claim``: the slots that are free.
        """
        settle = self._open.settle
        most = AHEAD * max(1, n + len(self._local_events.claims) - settle.behind)
        while settle.behind >= most and not settle.stalled:
            await asyncio.sleep(0)
            await settle.passed()
        return settle.behind < most

    def _answered(self) -> None:
        """A claim is no longer under way."""
        self._claiming -= 1
        if self._rings_late:
            self._ring_if_idle()

    async def _claim_one(self, some: Sequence[Request]) -> bool:
        """Run the requests of the pipeline of claims."""
        for one in some:
            if not one.future.cancelled():
                await run_request(self._open.claiming, one, partial(self._take, step=one.step))
        return True

    async def _take(self, db: Db, step: Any) -> Any:
        """Take a step; if it fails, have a reap precede the next claim."""
        try:
            return await step(db)
        except Exception:
            # A claim may have leased events before it failed, or be committed without an answer.
            self._swept, self._others = -inf, True
            raise

    async def _claimed(
        self,
        answer: hot_claim.Claimed,
        step: hot_claim.Claim | LimitedStep,
        taken: ClaimedEvents,
        limits: Limits | None,
        notes: int,
    ) -> float | None:
        claim = step.claim if isinstance(step, LimitedStep) else step
        taken.until = claim.asked + claim.length
        self.missing |= claim.met
        await self._expired(answer.expired)
        numbers = answer.numbers
        self._herald.expect(more=bool(numbers))
        held: Sequence[Work] = ()  # at rest they are nobody's: kept until that is noted
        if numbers:
            answer, held = await self._with_kept(answer, numbers)
        self._sights.moved(numbers)
        if answer.untried:
            rest = (
                self._local_events.revived(answer.untried, taken) if claim.start else answer.untried
            )
            answer = answer.moved(rest, ()) if rest else answer
        wait = self._local_events.claimed(answer, claim.start, taken)
        del held
        if self._cleaning.is_due(len(numbers)):
            self._open.ask(self._open.clean, self._cleaning).add_done_callback(heard)
        self._warn_of_missing()
        if limits is not None and answer.rationed is not None:
            self._blocked = answer.rationed.is_blocked
            self._keep_reservations(taken.claims, limits, answer.rationed)
            if self._blocked and notes != self._notes:
                wait = 0.0  # somebody has let go of something since the claim was asked for
        self._give_back_unrunnable(limits, answer.rationed)
        self._release(taken)
        return wait

    def _change_usage(self, change: UsageChange) -> None:
        opened = self._open
        self._before_claims(opened.ask(opened.settle, change, lambda _: self._note()))

    def _note(self) -> None:
        """Something has changed: have those look again who found nothing that limits allow."""
        self._notes += 1
        if self._blocked:
            self._blocked = False
            self._listeners.notify_ready()

    async def _with_kept(
        self, answer: hot_claim.Claimed, numbers: Sequence[int]
    ) -> tuple[hot_claim.Claimed, list[Work]]:
        """The same with what is needed to build the events that this process has not; those it has.

        What is noted of them here has to be noted first: they may have been appended, or sent
        back to wait, by steps whose answers are on their way.
        """
        held, known = await self._find_all(numbers)
        new = numbers
        if known:
            new = [number for number, event in zip(numbers, held, strict=True) if event is None]
        self._strangers = 2 * len(new) > len(held)
        return (await self._with_what_is_new(answer, new) if new else answer), known

    async def _find_all(self, numbers: Sequence[int]) -> tuple[list[Work | None], list[Work]]:
        """The events of a claim that this process has, as they stand by the claim.

        Returns:
            One for each, and those that there are.
        """
        opened, find_all = self._open, self._local_events.cache.find_all

        def look() -> tuple[list[Work | None], list[Work]]:
            held = find_all(numbers)
            return held, [event for event in held if event is not None]

        held, known = look()
        if len(known) < len(held) and await opened.enter.passed():
            held, known = look()
        if any(event.__dict__["_status"] != "pending" for event in known):
            await opened.settle.passed()
            await opened.rest.passed()
            held, known = look()
        return held, known

    async def _with_what_is_new(
        self, answer: hot_claim.Claimed, new: Sequence[int]
    ) -> hot_claim.Claimed:
        """Return the claim with what its events are built of, without classes not run here."""
        kept, untried = dict(answer.kept), answer.untried
        if unknown := [] if untried else [number for number in new if number not in kept]:
            kept |= await self._read(lambda db: queries.fixed_columns(db, unknown))
        if self._large_ids:
            ids = [one[2] for one in untried] + [one[0] for one in kept.values()]
            if not self._large_ids.isdisjoint(ids):
                await self._open.large.passed()
        foreign = {one[3] for one in untried}
        foreign.update(kept[number][1] for number in new if number in kept)
        answer = answer._replace(kept=kept)
        missing = {kind for kind in foreign if not self.runs(kind)}
        return self._without(answer, missing) if missing else answer

    def _without(self, answer: hot_claim.Claimed, missing: set[str]) -> hot_claim.Claimed:
        """The claim without events of classes that this process does not run, which go back."""
        self.missing |= missing
        answer = answer.moved(answer.untried, ())
        rows: list[ReadyRow] = []
        for one in answer.rows:
            lacking = one[0] in answer.kept and answer.kept[one[0]][1] in missing
            (self._unrunnable if lacking else rows).append(one)
        return answer._replace(rows=rows, wait=0.0)

    def _release(self, taken: ClaimedEvents) -> None:
        """Give back what nobody waits for."""
        if taken.claims and not taken.wanted:
            claims, taken.claims = taken.claims, []
            self._give_back(self._open, claims)

    def _give_back(self, opened: Opened, claims: Sequence[Claim]) -> None:
        """Release claims, and try that again if it fails: their worker lives, and they with it."""

        self._until_done(opened, lambda: self._settle([(*claim, RELEASED) for claim in claims]))

    def _return(self, rows: list[SettlementRow]) -> None:
        opened, then = self._open, partial(self._returned, rows)
        self._unsettled.update((row[0], row[1]) for row in rows)
        self._until_done(opened, lambda: opened.ask(opened.settle, rows, then))

    async def _returned(self, rows: Sequence[SettlementRow], answers: Sequence[Settled]) -> None:
        self._settled_unrunnable(rows, answers)
        self._herald.tell(READY + EXPIRES + (ENDED if Settled.CANCELLED in answers else ""))
        self._ring_if_idle()

    def _until_done(self, opened: Opened, ask: Callable[[], asyncio.Future[Any]]) -> None:
        """Have a step taken before the next claim, and again later if it fails."""

        def ask_if_open() -> asyncio.Future[Any] | None:
            if self._opened is not opened:
                return None
            asked = ask()
            self._before_claims(asked)
            return asked

        until_done(ask_if_open)

    def _tidy(self) -> None:
        """Look now and then for leases that have lapsed, before a claim."""
        raise NotImplementedError

    def _settle(self, settlements: Sequence[Settlement]) -> asyncio.Future[Any]:
        """Put on record what came of claims."""
        raise NotImplementedError
