"""Transition: one change of one event's status, as observers receive it."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import EventCancelledError
from ..model.event_data import EventData
from ..model.execution import EventStatus
from .state_machine import Completion, Outcome

__all__ = ("Transition", "reason_of")

_S = EventStatus


class Transition(NamedTuple):
    """A change of an event's status. Observers, logs, metrics and traces receive it.

    Attributes:
        event: The event, in its state after the transition.
        before: The previous status; None when the event was appended.
        after: The new status; None when the event was removed.
        at: The time, in seconds of the event loop's clock.
        attempt: The number of its present or last attempt.
        queue: The name of its queue; empty for a processor without an executor.
        waited: Seconds from the append, or from ``due``, to the start of the attempt. It is set at
            the start and at the end of an attempt; None at other transitions, or if unknown.
        duration: Seconds that the attempt took that this transition ends; None if it ends none.
        error: The error of this transition, as it is recorded; None if there is none.
        reason: Why the event is pending again: "denied", "deferred", "interrupted", "retry",
            "rate limited", or "released" (claimed but not started); otherwise empty.
    """

    event: EventData
    before: EventStatus | None
    after: EventStatus | None
    at: float
    attempt: int
    queue: str = ""
    waited: float | None = None
    duration: float | None = None
    error: BaseException | None = None
    reason: str = ""

    @property
    def is_failure(self) -> bool:
        """True if an attempt or the event has failed, also if a retry follows.

        A timeout is a failure. A Skip, a cancellation, an expired ttl, an interruption and a
        RateLimited are not.
        """
        if self.before is None or self.after is None:
            return False
        if self.after in (_S.FAILED, _S.ABORTED):
            return True
        if self.after is _S.CANCELLED:
            return self.before is _S.PROCESSING and not isinstance(self.error, EventCancelledError)
        return self.reason == "retry"


def reason_of(outcome: Outcome) -> str:
    """Return why an event is pending again after an outcome; empty if it is not."""
    if isinstance(outcome, Completion) or outcome.status is not _S.PENDING:
        return ""
    if outcome.denials:
        return "denied"
    if outcome.interruptions:
        return "interrupted"
    if outcome.tries:
        return "retry"
    if outcome.pause is not None:
        return "rate limited"
    return "released" if outcome.delay is None else "deferred"
