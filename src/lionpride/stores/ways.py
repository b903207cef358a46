"""The quick ways of the store in memory under limits: ``claim_now`` and its fellows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ..model.work import Work
from ..rules.meters import Meter
from .contract import Settled, Started, Within
from .listeners import Listeners
from .rationing import Rationing
from .waiting import Waiting

__all__ = ("ways",)

Lanes: TypeAlias = tuple[dict[int, Work], dict[int, Work], dict[int, Work], set[int]]
"""What is PENDING, PROCESSING and COMPLETED, by number; and what is to be cancelled of it."""

Claim: TypeAlias = Callable[[], Started | None]
Complete: TypeAlias = Callable[[Work, int, Any, float], Settled]


def ways(
    ration: Rationing,
    waiting: Waiting,
    listeners: Listeners,
    *,
    lanes: Lanes,
    complete_now: Complete,
    lapse: Callable[[], object],
) -> Within:
    """How to claim under limits, to complete what that gave, and both at once.

    Args:
        ration: Chooses what is claimed.
        waiting: What waits.
        listeners: The store's.
        lanes: The store's.
        complete_now: As ``ImmediatePath.complete_now``.
        lapse: Ends what was not started in time.
    """
    claim = _claiming(ration, waiting, listeners, lanes, lapse)
    complete = _completing(complete_now, ration.limits.holds)
    return claim, complete, _passing_on(ration, waiting, listeners, lanes, claim, complete)


def _claiming(
    ration: Rationing,
    waiting: Waiting,
    listeners: Listeners,
    lanes: Lanes,
    lapse: Callable[[], object],
) -> Claim:
    pending, processing, *_ = lanes

    def claim() -> Started | None:
        if waiting.mixed:
            lapse()
        number = ration.next()
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


def _completing(complete_now: Complete, holds: bool) -> Complete:
    def complete(event: Work, attempt: int, response: Any, duration: float) -> Settled:
        answer = complete_now(event, attempt, response, duration)
        if answer is Settled.APPLIED:
            meter: Meter | None = event.__dict__.pop("_meter", None)
            if meter is not None and holds:
                meter.end()
        return answer

    return complete


def _passing_on(
    ration: Rationing,
    waiting: Waiting,
    listeners: Listeners,
    lanes: Lanes,
    claim: Claim,
    complete: Complete,
) -> Callable[[Started, Any, float], Started | None]:
    """The usual case written out, as in ``MemoryStore.next_now``; that of a pair to its end."""
    pending, processing, completed, unwanted = lanes
    ready, lines, pair = waiting.ready, ration.lines, ration.limits.pair
    run, new, heap, holds = ready.run, ready.new, ready.heap, ration.limits.holds

    def pass_on(done: Started, response: Any, duration: float) -> Started | None:
        event, attempt, own = done
        usual = own["_status"] == "processing" and own["_attempt"] == attempt and not unwanted
        if not usual or listeners.finished or not run or new or heap or waiting.mixed:
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
        if pair is None or lines:
            return claim()
        number = run.popleft()
        bill = pair.take(pending[number], ration.clock())
        if bill is None:
            run.appendleft(number)
            return claim()
        if meter.accounts is not pair.accounts:
            meter = Meter(ration, None, (), ())
            meter.accounts = pair.accounts
        # It is handed on as the slot is: nobody keeps one beyond its event.
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

    return pass_on
