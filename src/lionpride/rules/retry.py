"""Decision whether a failed attempt is retried, and the record of the attempt."""

from __future__ import annotations

from ..errors import LionTimeoutError
from ..model.attempts import Attempt, told
from ..model.event_data import EventData
from ..model.execution import EventStatus
from ..model.retry_policy import Retry, retry_after_of
from ..model.unset import MaybeUnset, UnsetType
from .state_machine import Ending

__all__ = ("judge",)


def judge(
    event: EventData,
    ending: Ending,
    policy: Retry | None,
    *,
    now: float,
    chance: float,
    traceback: str = "",
) -> Ending:
    """Return the outcome of an attempt under the retry policy of its event.

    A skip, a cancellation and an interruption are not failures, and are returned unchanged.

    Args:
        event: The event, with its state during the attempt.
        ending: The outcome without a policy, with its duration.
        policy: The retry policy; None for no retry.
        now: The time at which the attempt ended, a Unix timestamp in seconds.
        chance: A random number from 0 to 1, for the wait.
        traceback: The traceback of the error as text.

    Returns:
        PENDING if the attempt is retried, else ``ending``; both with the record of the attempt.
    """
    error = ending.error
    if not ending.tries or not isinstance(error, BaseException):
        return ending
    own, duration = event.__dict__, _seconds(ending.duration)
    number = own.get("_attempt", 0)
    ending.attempt = Attempt(number, now - duration, duration, told(error), traceback)
    tries = own.get("_tries", 0) + 1
    if policy is None or tries >= policy.max_attempts:
        return ending
    timed_out = ending.status is EventStatus.CANCELLED and isinstance(error, LionTimeoutError)
    if not timed_out and ending.status is not EventStatus.FAILED:
        return ending
    if not policy.covers(error, by_kind=timed_out):
        return ending
    wait = max(policy.wait(tries, chance), retry_after_of(error) or 0.0)
    latest = own.get("_expires") if tries > 1 else None
    if latest is None and policy.deadline is not None:
        latest = now - duration + policy.deadline
    if latest is not None and now + wait >= latest:
        return ending
    return Ending(
        EventStatus.PENDING,
        error=error.with_traceback(None),
        duration=duration,
        delay=wait,
        tries=1,
        attempt=ending.attempt,
        expires=latest,
    )


def _seconds(duration: MaybeUnset[float]) -> float:
    return 0.0 if isinstance(duration, UnsetType) else duration
