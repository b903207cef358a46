"""Transition: what a step says of itself."""

import pytest

from lionpride.core import Event, EventStatus, Transition
from lionpride.errors import EventCancelledError, LionTimeoutError, Skip
from lionpride.rules.state_machine import RELEASED, Completion, Ending, Pause
from lionpride.rules.transition import reason_of

S = EventStatus


@pytest.mark.parametrize(
    ("before", "after", "error", "reason", "failed"),
    [
        (None, S.PENDING, None, "", False),
        (None, S.FAILED, None, "", False),  # loaded
        (S.PENDING, S.PROCESSING, None, "", False),
        (S.PROCESSING, S.COMPLETED, None, "", False),
        (S.PROCESSING, S.FAILED, ValueError(), "", True),
        (S.PENDING, S.FAILED, ValueError(), "", True),
        (S.PENDING, S.ABORTED, None, "", True),
        (S.PROCESSING, S.SKIPPED, Skip("no"), "", False),
        (S.PROCESSING, S.CANCELLED, EventCancelledError("by hand"), "", False),
        (S.PROCESSING, S.CANCELLED, LionTimeoutError("too long"), "", True),
        (S.PENDING, S.CANCELLED, EventCancelledError("its ttl"), "", False),
        (S.PROCESSING, S.PENDING, ValueError(), "retry", True),
        (S.PROCESSING, S.PENDING, ValueError(), "rate limited", False),
        (S.PROCESSING, S.PENDING, None, "interrupted", False),
        (S.FAILED, S.PENDING, None, "", False),
        (S.FAILED, None, None, "", False),
    ],
)
def test_what_is_a_failure(
    before: S | None, after: S | None, error: Exception | None, reason: str, failed: bool
) -> None:
    step = Transition(Event(), before, after, 1.0, 1, error=error, reason=reason)
    assert step.is_failure is failed


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Completion(1, 0.5), ""),
        (Ending(S.FAILED, tries=1), ""),
        (RELEASED, "released"),
        (Ending(S.PENDING, delay=1.0, denials=1), "denied"),
        (Ending(S.PENDING, delay=1.0), "deferred"),
        (Ending(S.PENDING, delay=1.0, pause=Pause(None, 1.0)), "rate limited"),
        (Ending(S.PENDING, delay=1.0, tries=1), "retry"),
        (Ending(S.PENDING, interruptions=1), "interrupted"),
    ],
)
def test_why_it_waits_again(outcome: Completion | Ending, reason: str) -> None:
    assert reason_of(outcome) == reason
