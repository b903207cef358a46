"""The steps of ``ImmediatePath`` under limits: claim, complete, and both in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ...model.event_data import Work
from ...rules.meters import Meter
from ..contract import Settled, Started, Within
from ..listeners import Listeners
from .limiter import Limiter
from .ready_queue import ReadyQueue

__all__ = ("limited_path",)

StatusLists: TypeAlias = tuple[dict[int, Work], dict[int, Work], dict[int, Work], set[int]]
"""The PENDING, PROCESSING and COMPLETED events by number, and claimed ones with a cancel."""

Claim: TypeAlias = Callable[[], Started | None]
Complete: TypeAlias = Callable[[Work, int, Any, float], Settled]


def limited_path(
    limiter: Limiter,
    ready: ReadyQueue,
    listeners: Listeners,
    *,
    lists: StatusLists,
    complete_now: Complete,
    expire: Callable[[], object],
) -> Within:
    """Return the functions of ``ImmediatePath.within``.

    Args:
        limiter: Selects the events.
        ready: The pending events.
        listeners: The listeners of the store.
        lists: The events of the store.
        complete_now: See ``ImmediatePath.complete_now``.
        expire: Finishes the events that were not started in time.
    """
    claim = _claim(limiter, ready, listeners, lists, expire)
    complete = _complete(complete_now, limiter.limits.holds)
    return claim, complete, _next(limiter, ready, listeners, lists, claim, complete)


def _claim(
    limiter: Limiter,
    waiting: ReadyQueue,
    listeners: Listeners,
    lists: StatusLists,
    expire: Callable[[], object],
) -> Claim:
    pending, processing, *_ = lists

    def claim() -> Started | None:
        if waiting.is_mixed:
            expire()
        number = limiter.pop()
        if number is None:
            return None
        event = processing[number] = pending.pop(number)
        own = event.__dict__
        own["_status"] = "processing"
        own["_attempt"] = attempt = own["_attempt"] + 1 if "_attempt" in own else 1
        if attempt > 1 and "_denials" in own:
            del own["_denials"]
        if listeners.capacity:
            listeners.notify_capacity()
        return event, attempt, own

    return claim


def _complete(complete_now: Complete, holds: bool) -> Complete:
    def complete(event: Work, attempt: int, response: Any, duration: float) -> Settled:
        answer = complete_now(event, attempt, response, duration)
        if answer is Settled.APPLIED:
            meter: Meter | None = event.__dict__.pop("_meter", None)
            if meter is not None and holds:
                meter.end()
        return answer

    return complete


def _next(
    limiter: Limiter,
    waiting: ReadyQueue,
    listeners: Listeners,
    lists: StatusLists,
    claim: Claim,
    complete: Complete,
) -> Callable[[Started, Any, float], Started | None]:
    """Return ``next_now`` under limits: the usual case, with one or two rates, stands here."""
    pending, processing, completed, unwanted = lists
    ready, deferred, pair = waiting.ready, limiter.deferred, limiter.limits.pair
    run, new, heap, holds = ready.run, ready.new, ready.heap, limiter.limits.holds

    def complete_and_claim(done: Started, response: Any, duration: float) -> Started | None:
        event, attempt, own = done
        usual = own["_status"] == "processing" and own["_attempt"] == attempt and not unwanted
        if not usual or listeners.finished or not run or new or heap or waiting.is_mixed:
            complete(event, attempt, response, duration)
            return claim()
        del processing[own["_arrival"]]
        own["_status"] = "completed"
        own["_response"] = response
        own["_duration"] = duration
        completed[own["_arrival"]] = event
        meter: Meter = own.pop("_meter")
        if holds:
            meter.end()
        if pair is None or deferred:
            return claim()
        number = run.popleft()
        bill = pair.take(pending[number], limiter.clock())
        if bill is None:
            run.appendleft(number)
            return claim()
        if meter.accounts is not pair.accounts:
            meter = Meter(limiter, None, (), ())
            meter.accounts = pair.accounts
        # The next event gets the same meter: none is used after the end of its event.
        meter.amounts, meter.entries, meter.spent = bill, pair.entries, None
        event = processing[number] = pending.pop(number)
        own = event.__dict__
        own["_meter"] = meter
        own["_status"] = "processing"
        own["_attempt"] = attempt = own["_attempt"] + 1 if "_attempt" in own else 1
        if attempt > 1 and "_denials" in own:
            del own["_denials"]
        if listeners.capacity:
            listeners.notify_capacity()
        return event, attempt, own

    return complete_and_claim
