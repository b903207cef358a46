"""What a failed attempt comes to: as it is, or another attempt; and what is kept of it."""

from typing import Any

import pytest

from lionpride import Retry
from lionpride.errors import LionTimeoutError, Skip
from lionpride.model.attempts import Attempt
from lionpride.model.event_data import EventData
from lionpride.model.execution import EventStatus, Execution
from lionpride.model.unset import Unset
from lionpride.rules.retry import judge
from lionpride.rules.state_machine import (
    RELEASED,
    Cause,
    Ending,
    after_denial,
    after_error,
    after_interruption,
    apply,
    requeue,
)

S = EventStatus
NOW = 1_000.0
POLICY = Retry(attempts=3, backoff=4.0, ceiling=60.0)


def running(**state: Any) -> EventData:
    """An event whose attempt runs."""
    counters = {"attempt": 1, **state}
    return EventData(timeout=9.0, execution=Execution(status=S.PROCESSING, **counters))


def failed(error: BaseException | None = None, event: EventData | None = None) -> Ending:
    ending = after_error(event or running(), error or ValueError("no"), None, False)
    ending.duration = 0.5
    return ending


def judged(
    event: EventData, ending: Ending, policy: Retry | None = POLICY, chance: float = 0.5
) -> Any:
    return judge(event, ending, policy, now=NOW, chance=chance)


def test_a_failure_goes_back_to_wait() -> None:
    event, error = running(), ValueError("no")
    ending = judged(event, failed(error))
    assert (ending.status, ending.tries, ending.delay) == (S.PENDING, 1, 2.0)
    assert (ending.error, ending.duration) == (error, 0.5)
    assert ending.attempt == Attempt(1, NOW - 0.5, 0.5, "ValueError: no")
    apply(event.execution, ending)
    state = event.execution
    assert (state.status, state.tries, state.error) == (S.PENDING, 1, error)
    assert state.attempts == (ending.attempt,)
    assert state.response is Unset


def test_the_wait_grows_with_the_failures() -> None:
    assert judged(running(tries=1), failed(), chance=1.0).delay == 8.0
    many = Retry(attempts=99, backoff=4.0, ceiling=60.0)
    assert judged(running(tries=9), failed(), many, chance=1.0).delay == 60.0


def test_the_last_failure_stands() -> None:
    ending = failed()
    assert judged(running(tries=2, attempt=5), ending) is ending
    assert (ending.status, ending.tries) == (S.FAILED, 1)
    assert ending.attempt == Attempt(5, NOW - 0.5, 0.5, "ValueError: no")


@pytest.mark.parametrize("policy", [None, Retry(attempts=1), Retry(on=OSError)])
def test_what_no_policy_covers_stands_and_is_kept(policy: Retry | None) -> None:
    ending = failed()
    assert judged(running(), ending, policy) is ending
    assert ending.status is S.FAILED
    assert ending.attempt is not None


def test_a_timeout_is_a_failure() -> None:
    event = running()
    late = after_error(event, TimeoutError(), Cause.TIMEOUT, True)
    assert judged(event, late).status is S.PENDING
    late = after_error(event, TimeoutError(), Cause.TIMEOUT, True)
    assert judged(event, late, Retry(never=TimeoutError)).status is S.CANCELLED
    assert isinstance(late.error, LionTimeoutError)
    late = after_error(event, TimeoutError(), Cause.TIMEOUT, True)
    assert judged(event, late, Retry(on=OSError)).status is S.PENDING, "as it is an OSError"
    late = after_error(event, TimeoutError(), Cause.TIMEOUT, True)
    assert judged(event, late, Retry(on=ValueError)).status is S.CANCELLED


@pytest.mark.parametrize(
    "ending",
    [
        RELEASED,
        Ending(S.PENDING, delay=5.0, error=ValueError("rate limited")),
        after_denial(0, 1.0),
        after_denial(2, 1.0),
        after_interruption(0),
        after_interruption(99),
        after_error(running(), Skip("no"), None, False),
        after_error(running(), ValueError(), Cause.CANCEL, True),
    ],
    ids=str,
)
def test_what_is_no_failure_stays_as_it_is(ending: Ending) -> None:
    assert judged(running(), ending) is ending
    assert ending.attempt is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), GeneratorExit()], ids=repr)
def test_what_asks_to_exit_is_not_tried_again(error: BaseException) -> None:
    assert judged(running(), failed(error)).status is S.FAILED


def test_a_cancellation_of_the_codes_own_is_not_tried_again() -> None:
    ending = after_error(running(), ValueError(), None, True)
    assert judged(running(), ending) is ending
    assert ending.status is S.CANCELLED


def test_an_error_may_ask_for_a_longer_wait_than_any() -> None:
    error = ValueError("slow down")
    error.retry_after = 500.0  # type: ignore[attr-defined]
    assert judged(running(), failed(error)).delay == 500.0
    error.retry_after = 0.1  # type: ignore[attr-defined]
    assert judged(running(), failed(error), chance=1.0).delay == 4.0


# -- the deadline ----------------------------------------------------------------------------------

BOUND = Retry(attempts=99, backoff=4.0, deadline=10.0)


def test_the_deadline_counts_from_the_first_start() -> None:
    event = running()
    ending = judged(event, failed(), BOUND)
    assert ending.expires == NOW - 0.5 + 10.0
    apply(event.execution, ending)
    event.execution.become(S.PROCESSING)
    later = judge(event, failed(), BOUND, now=NOW + 5.0, chance=0.0)
    assert (later.status, later.expires) == (S.PENDING, NOW + 9.5)


def test_no_attempt_is_to_start_beyond_the_deadline() -> None:
    assert judge(running(), failed(), BOUND, now=NOW, chance=1.0).status is S.PENDING
    error = ValueError()
    error.retry_after = 9.6  # type: ignore[attr-defined]
    ending = judged(running(), failed(error), BOUND)
    assert (ending.status, ending.error) == (S.FAILED, error)
    long = failed()
    long.duration = 11.0
    assert judged(running(), long, BOUND).status is S.FAILED


def test_a_time_to_start_by_is_over_with_the_first_start() -> None:
    ending = judged(running(expires=NOW + 1.0), failed())
    assert (ending.status, ending.expires) == (S.PENDING, None)
    assert judged(running(expires=NOW + 1.0), failed(), BOUND).expires == NOW + 9.5


# -- by hand ---------------------------------------------------------------------------------------


def test_a_retry_by_hand_keeps_what_is_known_of_the_attempts() -> None:
    event = running(tries=2, expires=NOW)
    apply(event.execution, judged(event, failed()))
    requeue(event.execution)
    state = event.execution
    assert (state.status, state.tries, state.expires) == (S.PENDING, 0, None)
    assert len(state.attempts) == 1
