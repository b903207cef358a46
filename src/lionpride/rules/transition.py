"""Transition: one step of one event, as everybody is told of it."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import EventCancelledError
from ..model.execution import EventStatus
from ..model.work import Work
from .lifecycle import Completion, Outcome

__all__ = ("Transition", "reason_of")

_S = EventStatus


class Transition(NamedTuple):
    """One step of one event: what observers are handed, and logs, metrics and traces say.

    Attributes:
        event: The event, as it stands after the step.
        before: The status it had; None when it was appended.
        after: The status it has; None when it was removed.
        at: When, in seconds of the event loop's clock.
        attempt: The number of its present or last attempt.
        queue: The name of its queue; empty where a processor stands alone.
        waited: Seconds for which it could have started, at the start of an attempt, and at its
            end: since it was appended, or was due; None at other steps, or if nobody knows.
        duration: Seconds that the attempt took which has ended with this step; None if none has.
        error: What went wrong with this step, as it goes on record; None if nothing did.
        reason: Why it waits again: "denied", "deferred", "interrupted", "retry", "rate limited"
            or "released", which is claimed and not started; empty at other steps.
    """

    event: Work
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
        """Whether something has failed: an attempt, also if it is tried again, or the event.

        A Skip is none, nor is a cancel, a ttl that is over, an interruption or a RateLimited;
        a timeout is.
        """
        if self.before is None or self.after is None:
            return False
        if self.after in (_S.FAILED, _S.ABORTED):
            return True
        if self.after is _S.CANCELLED:
            return self.before is _S.PROCESSING and not isinstance(self.error, EventCancelledError)
        return self.reason == "retry"


def reason_of(outcome: Outcome) -> str:
    """Why an event waits again, by what came of its claim; empty if it does not."""
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
