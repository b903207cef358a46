"""Dependencies, in every store: when a child is released, cancelled, and waits again."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from math import inf
from uuid import UUID, uuid4

import pytest
from stores.asking import (
    ENDINGS,
    check_counts,
    claim,
    claim_one,
    finish_expired,
    listed,
    pages,
    picture,
    put,
    record,
    settle,
)
from stores.makers import Clock, Job, beside

from lionpride.errors import (
    DependencyError,
    ExecutionError,
    ExistsError,
    LionTimeoutError,
    NotFoundError,
    OperationError,
    QueueFullError,
)
from lionpride.model.after import CONDITIONS, After, When
from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.rules.state_machine import (
    MAX_INTERRUPTIONS,
    RELEASED,
    Completion,
    Ending,
    Outcome,
    after_cancel,
    after_interruption,
    after_unstorable,
)
from lionpride.stores.contract import Cancelled, Settled, Store
from lionpride.stores.listeners import Signal
from lionpride.stores.terms import Terms

S = EventStatus


# -- helpers ---------------------------------------------------------------------------------------


async def put_after(
    store: Store, *parents: Job, when: When = "completed", priority: float = 1.0, **how: object
) -> Job:
    """Append a child of these parents."""
    child = Job(label="child")
    after = {child.id: After(tuple(parent.id for parent in parents), when)}
    assert await store.append([(child, priority)], after=after, **how) == [child]  # type: ignore[arg-type]
    await resolve(store)
    return child


async def resolve(store: Store) -> None:
    """Let the store resolve what has ended: a claim does it first."""
    await finish_expired(store)


async def status_of(store: Store, job: Job) -> EventStatus:
    return (await record(store, job)).status


async def is_blocked(store: Store, job: Job) -> bool:
    """Return True if the store has an event as blocked; the object shows the same."""
    found = await record(store, job)
    assert job.execution.is_blocked is found.is_blocked
    assert (found.due == inf) is found.is_blocked
    return found.is_blocked


async def is_ready(store: Store, job: Job) -> bool:
    found = await record(store, job)
    return found.status is S.PENDING and not found.is_blocked


async def end_with(store: Store, parent: Job, outcome: Outcome, *, start: bool = True) -> None:
    """Claim an event, which has to be the next one, and settle it."""
    one = await claim_one(store, start=start)
    assert one[0].id == parent.id
    assert (await settle(store, one, outcome)).is_recorded
    await resolve(store)


async def complete(store: Store, parent: Job) -> None:
    await end_with(store, parent, Completion("done", 0.5))


async def fail(store: Store, parent: Job) -> None:
    await end_with(store, parent, ENDINGS[S.FAILED])


async def error_of(store: Store, job: Job) -> dict[str, object]:
    found: dict[str, object] = (await record(store, job)).payload["execution"]["error"]
    return found


async def is_cancelled_for(store: Store, child: Job, parent: Job) -> bool:
    """Return True if a child is CANCELLED on account of a parent, and its error says so."""
    if await status_of(store, child) is not S.CANCELLED:
        return False
    error = await error_of(store, child)
    assert error["error"] == "DependencyError"
    return str(parent.id) in str(error["message"])


def after(child: Job, *parents: Job, when: When = "completed") -> dict[UUID, After]:
    return {child.id: After(tuple(parent.id for parent in parents), when)}


# -- each ending and each condition ----------------------------------------------------------------

End = Callable[[Store, Clock, Job], Awaitable[object]]


async def _settled_in_queue(store: Store, _clock: Clock, parent: Job) -> None:
    await end_with(store, parent, ENDINGS[S.FAILED], start=False)


async def _cancelled_while_pending(store: Store, _clock: Clock, parent: Job) -> None:
    assert await store.cancel([parent]) == [Cancelled.DONE]


async def _cancelled_while_running(store: Store, _clock: Clock, parent: Job) -> None:
    one = await claim_one(store, start=True)
    assert await store.cancel([parent]) == [Cancelled.CLAIMED]
    assert await settle(store, one, after_cancel(None, 0.5)) is Settled.APPLIED


async def _cancelled_before_its_retry(store: Store, _clock: Clock, parent: Job) -> None:
    one = await claim_one(store, start=True)
    assert await store.cancel([parent]) == [Cancelled.CLAIMED]
    again = Ending(S.PENDING, error=ExecutionError("broken"), duration=0.5, tries=1, delay=1.0)
    assert await settle(store, one, again) is Settled.CANCELLED


async def _released_after_its_cancel(store: Store, _clock: Clock, parent: Job) -> None:
    one = await claim_one(store)
    assert await store.cancel([parent]) == [Cancelled.CLAIMED]
    assert await settle(store, one, RELEASED) is Settled.CANCELLED


async def _ttl(_store: Store, clock: Clock, _parent: Job) -> None:
    clock.advance(60.0)


async def _deadline(store: Store, clock: Clock, parent: Job) -> None:
    again = Ending(
        S.PENDING,
        error=ExecutionError("broken"),
        duration=0.5,
        tries=1,
        delay=5.0,
        expires=clock.now + 2.0,
    )
    assert await settle(store, await claim_one(store, start=True), again) is Settled.APPLIED
    clock.advance(60.0)


async def _interrupted_too_often(store: Store, _clock: Clock, parent: Job) -> None:
    await end_with(store, parent, after_interruption(MAX_INTERRUPTIONS))


def _by(outcome: Outcome, *, start: bool = True) -> End:
    return lambda store, _clock, parent: end_with(store, parent, outcome, start=start)


_COMPLETED, _FAILED = ("completed", "finished"), ("failed", "finished")
_BY_HAND = ("finished",)

PARENT_ENDINGS: dict[str, tuple[End, EventStatus, tuple[str, ...]]] = {
    "completed": (_by(ENDINGS[S.COMPLETED]), S.COMPLETED, _COMPLETED),
    "skipped": (_by(ENDINGS[S.SKIPPED]), S.SKIPPED, _COMPLETED),
    "failed": (_by(ENDINGS[S.FAILED]), S.FAILED, _FAILED),
    "failed before its start": (_settled_in_queue, S.FAILED, _FAILED),
    "too large": (_by(after_unstorable(ValueError("too large"))), S.FAILED, _FAILED),
    "interrupted": (_interrupted_too_often, S.FAILED, _FAILED),
    "aborted": (_by(ENDINGS[S.ABORTED], start=False), S.ABORTED, _FAILED),
    "timeout": (
        _by(Ending(S.CANCELLED, error=LionTimeoutError("late"), duration=0.5)),
        S.CANCELLED,
        _FAILED,
    ),
    "its own code": (
        _by(Ending(S.CANCELLED, error=asyncio.CancelledError(), duration=0.5)),
        S.CANCELLED,
        _FAILED,
    ),
    "ttl": (_ttl, S.CANCELLED, _FAILED),
    "deadline": (_deadline, S.FAILED, _FAILED),
    "cancel": (_cancelled_while_pending, S.CANCELLED, _BY_HAND),
    "cancel while running": (_cancelled_while_running, S.CANCELLED, _BY_HAND),
    "cancel before a retry": (_cancelled_before_its_retry, S.CANCELLED, _BY_HAND),
    "cancel before its start": (_released_after_its_cancel, S.CANCELLED, _BY_HAND),
}
"""How a parent may end, its status then, and the conditions that this meets."""


@pytest.mark.parametrize("before", [True, False], ids=["appended before", "appended after"])
@pytest.mark.parametrize("when", CONDITIONS)
@pytest.mark.parametrize("ending", PARENT_ENDINGS)
async def test_each_ending_of_a_parent_releases_or_cancels_its_child(
    store: Store, clock: Clock, ending: str, when: When, before: bool
) -> None:
    end, status, meets = PARENT_ENDINGS[ending]
    parent = Job(label="parent")
    terms = Terms(expires=clock.now + 30.0) if ending == "ttl" else None
    await store.append([(parent, 0.0)], terms=terms)
    child = await put_after(store, parent, when=when) if before else None
    if child is not None:
        assert await is_blocked(store, child)
    await end(store, clock, parent)
    await resolve(store)
    assert await status_of(store, parent) is status
    if child is None:
        child = await put_after(store, parent, when=when)
    if when in meets:
        assert await is_ready(store, child)
        assert (await claim_one(store))[0].id == child.id
    else:
        assert await is_cancelled_for(store, child, parent)
        assert await claim(store) == []
    await check_counts(store)


@pytest.mark.parametrize(("when", "status"), [("completed", S.CANCELLED), ("finished", S.PENDING)])
async def test_a_parent_that_was_cancelled_for_its_own_parent_has_only_finished(
    store: Store, when: When, status: EventStatus
) -> None:
    (first,) = await put(store, 0.0)
    parent = await put_after(store, first)
    child = await put_after(store, parent, when=when)
    alarm = await put_after(store, parent, when="failed")
    await fail(store, first)
    assert await is_cancelled_for(store, parent, first)
    assert await is_cancelled_for(store, alarm, parent)
    assert await status_of(store, child) is status


# -- append ----------------------------------------------------------------------------------------


async def test_a_child_is_pending_and_not_claimed_before_its_parents_have_completed(
    store: Store,
) -> None:
    parents = await put(store, 1.0, 2.0)
    child = await put_after(store, *parents, priority=0.0)
    assert (await store.counts())[S.PENDING] == 3
    assert await is_blocked(store, child)
    assert (await claim_one(store))[0].id == parents[0].id
    await settle(store, (parents[0], 1), RELEASED)
    await complete(store, parents[0])
    assert await is_blocked(store, child)
    await complete(store, parents[1])
    assert await claim(store) == [(child, 1)]


async def test_a_blocked_child_gives_no_time_to_wait_for(store: Store) -> None:
    (parent,) = await put(store, 1.0)
    await put_after(store, parent)
    assert await claim_one(store) == (parent, 1)
    assert await store.claim("worker") == ([], None)
    assert await store.claim("worker", denied=True) == ([], None)


async def test_a_parent_may_run_when_its_child_is_appended(store: Store) -> None:
    await put(store, 1.0)
    parent, attempt = await claim_one(store, start=True)
    assert isinstance(parent, Job)
    child = await put_after(store, parent)
    assert await is_blocked(store, child)
    await settle(store, (parent, attempt), Completion(1, 0.5))
    await resolve(store)
    assert await is_ready(store, child)


async def test_parents_and_children_are_appended_in_one_batch_in_any_order(store: Store) -> None:
    child, pages_, last = Job(label="child"), [Job(), Job()], Job(label="last")
    await store.append(
        [(last, 0.0), (child, 0.0), *((each, 1.0) for each in pages_)],
        after=after(child, *pages_) | after(last, child),
    )
    assert [await is_blocked(store, each) for each in (last, child, *pages_)] == [
        True,
        True,
        False,
        False,
    ]
    for each in (*pages_, child, last):
        await complete(store, each)
    assert (await store.counts())[S.COMPLETED] == 4


async def test_a_batch_after_a_parent_that_has_failed_is_cancelled_through_and_through(
    store: Store,
) -> None:
    (parent,) = await put(store, 0.0)
    await fail(store, parent)
    child, grandchild = Job(), Job()
    await store.append(
        [(grandchild, 0.0), (child, 0.0)], after=after(child, parent) | after(grandchild, child)
    )
    await resolve(store)
    assert await is_cancelled_for(store, child, parent)
    assert await is_cancelled_for(store, grandchild, child)


async def test_an_unknown_parent_is_refused_before_anything_is_appended(store: Store) -> None:
    (parent,) = await put(store, 1.0)
    before, child, other, gone = await picture(store), Job(), Job(), uuid4()
    with pytest.raises(NotFoundError, match=str(gone)):
        await store.append([(other, 1.0), (child, 1.0)], after={child.id: After((parent.id, gone))})
    assert await picture(store) == before
    assert child.execution.after is None
    assert await store.append([(other, 1.0), (child, 1.0)]) == [other, child], "they are free"


async def test_a_parent_that_was_removed_is_unknown(store: Store) -> None:
    (parent,) = await put(store, 1.0)
    await store.remove([parent])
    with pytest.raises(NotFoundError):
        await put_after(store, parent)


async def test_a_child_needs_room_as_any_pending_event(store: Store) -> None:
    (parent,) = await put(store, 1.0)
    child = await put_after(store, parent, room=2)
    with pytest.raises(QueueFullError):
        await put_after(store, parent, room=2)
    with pytest.raises(QueueFullError):
        await store.append([(Job(), 1.0)], room=2)
    await store.cancel([child])
    await put_after(store, parent, room=2)


async def test_with_exist_ok_a_known_event_keeps_its_own_parents(store: Store) -> None:
    parent, other = await put(store, 1.0, 2.0)
    free = Job()
    await store.append([(free, 3.0)])
    child = await put_after(store, parent)
    both = after(child, other) | after(free, other)
    assert await store.append([(child, 1.0), (free, 1.0)], exist_ok=True, after=both) == [
        child,
        free,
    ]
    assert not await is_blocked(store, free)
    assert [each.record.id for each in await store.parents(child)] == [parent.id]
    with pytest.raises(ExistsError):
        await store.append([(child, 1.0)], after=after(child, other))


async def test_an_event_that_is_known_by_its_unique_value_keeps_its_own_parents(
    store: Store, clock: Clock
) -> None:
    parent, other = await put(store, 1.0, 2.0)
    terms = Terms(unique=("merge", clock.now))
    child = await put_after(store, parent, terms=terms)
    second = Job()
    held = await store.append([(second, 1.0)], terms=terms, after=after(second, other))
    assert [each.id for each in held] == [child.id]
    assert [each.record.id for each in await store.parents(child)] == [parent.id]


async def test_an_event_that_was_removed_comes_back_without_its_parents(store: Store) -> None:
    (parent,) = await put(store, 1.0)
    child = await put_after(store, parent)
    await store.remove([child])
    await store.append([(child, 0.0)])
    assert await store.parents(child) == []
    assert await claim(store) == [(child, 1)]


# -- terms of a child ------------------------------------------------------------------------------


async def test_the_due_time_of_a_child_holds_from_its_release_on(
    store: Store, clock: Clock
) -> None:
    parent, other = await put(store, 0.0, 0.0)
    due = clock.now + 5.0
    late = await put_after(store, parent, terms=Terms(due=due))
    past = await put_after(store, other, terms=Terms(due=due))
    await complete(store, parent)
    assert (await record(store, late)).due == due
    clock.advance(4.0)
    one = await claim_one(store, start=True)
    assert await claim(store) == []
    clock.advance(1.0)
    assert await claim(store) == [(late, 1)]
    clock.advance(1.0)
    await settle(store, one, Completion(1, 0.5))
    await resolve(store)
    assert await claim(store) == [(past, 1)]


async def test_a_blocked_child_expires(store: Store, clock: Clock) -> None:
    (parent,) = await put(store, 0.0)
    child = await put_after(store, parent, terms=Terms(expires=clock.now + 5.0))
    last = await put_after(store, child)
    await claim_one(store, start=True)
    clock.advance(5.0)
    await resolve(store)
    await resolve(store)
    assert (await error_of(store, child))["error"] == "EventCancelledError"
    assert await is_cancelled_for(store, last, child)


async def test_a_released_child_expires_as_well(store: Store, clock: Clock) -> None:
    (parent,) = await put(store, 0.0)
    child = await put_after(store, parent, terms=Terms(expires=clock.now + 5.0))
    await complete(store, parent)
    clock.advance(5.0)
    assert await claim(store) == []
    assert await status_of(store, child) is S.CANCELLED


async def test_released_children_run_by_priority(store: Store) -> None:
    (parent,) = await put(store, 0.0)
    children = [await put_after(store, parent, priority=p) for p in (5.0, 3.0, 4.0)]
    (free,) = await put(store, 3.5)
    await complete(store, parent)
    order = [event.id for event, _ in await claim(store, 9)]
    assert order == [each.id for each in (children[1], free, children[2], children[0])]


# -- fan-out, fan-in, chains -----------------------------------------------------------------------


async def test_fan_out_and_fan_in(store: Store) -> None:
    root, last = Job(), Job()
    middle = [Job() for _ in range(50)]
    entries = [(each, 1.0) for each in (root, *middle, last)]
    edges = after(last, *middle)
    for each in middle:
        edges |= after(each, root)
    await store.append(entries, after=edges)
    await complete(store, root)
    claims = await claim(store, 99, start=True)
    assert {event.id for event, _ in claims} == {each.id for each in middle}
    for one in claims[:-1]:
        await settle(store, one, Completion(1, 0.5))
    await resolve(store)
    assert await is_blocked(store, last)
    await settle(store, claims[-1], Completion(1, 0.5))
    await resolve(store)
    await complete(store, last)
    await check_counts(store)


async def test_two_parents_that_end_in_one_call_release_their_child_once(store: Store) -> None:
    parents = await put(store, 1.0, 1.0)
    child = await put_after(store, *parents)
    claims = await claim(store, 2, start=True)
    await store.settle([(*one, Completion(1, 0.5)) for one in claims])
    await resolve(store)
    assert await claim(store, 9) == [(child, 1)]


async def test_two_parents_that_fail_in_one_call_cancel_their_child_once(store: Store) -> None:
    parents = await put(store, 1.0, 1.0)
    child = await put_after(store, *parents)
    claims = await claim(store, 2, start=True)
    await store.settle([(*one, ENDINGS[S.FAILED]) for one in claims])
    await resolve(store)
    assert await status_of(store, child) is S.CANCELLED
    await check_counts(store)
    await store.retry([parents[0]])
    await resolve(store)
    assert await is_cancelled_for(store, child, parents[1]) or not await is_blocked(store, child)
    await store.retry([parents[1]])
    await resolve(store)
    assert await is_blocked(store, child)


LONG, SHORTER = 2_000, 200


@pytest.mark.parametrize("is_met", [True, False])
async def test_a_long_chain_ends(store: Store, is_met: bool) -> None:
    """It would need as many frames if it were resolved by recursion."""
    size = SHORTER if store.is_shared else LONG  # a database resolves each level by itself
    chain = [Job() for _ in range(size)]
    edges: dict[UUID, After] = {}
    for parent, child in pairwise(chain):
        edges |= after(child, parent, when="finished" if is_met else "completed")
    await store.append([(each, 1.0) for each in chain], after=edges)
    if is_met:
        for each in chain[:5]:
            await complete(store, each)
        assert await is_ready(store, chain[5])
        return
    await store.cancel([chain[0]])
    for _ in range(size):
        if (await store.counts())[S.CANCELLED] == size:
            break
        await resolve(store)
    assert (await store.counts())[S.CANCELLED] == size
    await store.retry([chain[0]])
    for _ in range(size):
        if (await store.counts())[S.PENDING] == size:
            break
        await resolve(store)
    assert (await store.counts())[S.PENDING] == size
    assert await is_blocked(store, chain[-1])
    await complete(store, chain[0])
    assert await is_ready(store, chain[1])


# -- cancel ----------------------------------------------------------------------------------------


async def test_the_cancel_of_a_blocked_child_leaves_its_parents_alone(store: Store) -> None:
    (parent,) = await put(store, 1.0)
    child = await put_after(store, parent)
    last = await put_after(store, child)
    assert await store.cancel([child]) == [Cancelled.DONE]
    await resolve(store)
    assert await is_cancelled_for(store, last, child)
    assert await claim(store, 9) == [(parent, 1)]


async def test_the_cancel_of_a_parent_and_its_child_answers_both(store: Store) -> None:
    (parent,) = await put(store, 1.0)
    child = await put_after(store, parent)
    assert await store.cancel([parent, child]) == [Cancelled.DONE, Cancelled.DONE]
    await resolve(store)
    assert (await error_of(store, child))["error"] == "EventCancelledError"
    await store.retry([parent])
    await resolve(store)
    assert await status_of(store, child) is S.CANCELLED, "it was not cancelled for its parent"


async def test_the_cancelled_children_are_told_to_observers_and_waiters(store: Store) -> None:
    (parent,) = await put(store, 0.0)
    child = await put_after(store, parent)
    heard: list[tuple[UUID, EventStatus, EventStatus]] = []
    finished: list[str] = []
    store.subscribe(
        Signal.EXPIRED, lambda event, before: heard.append((event.id, before, event.status))
    )
    store.subscribe(Signal.FINISHED, lambda: finished.append("child"), event=child, once=True)
    await fail(store, parent)
    assert heard == [(child.id, S.PENDING, S.CANCELLED)]
    assert finished == ["child"]
    heard.clear()
    await store.retry([parent])
    await resolve(store)
    assert heard == [(child.id, S.CANCELLED, S.PENDING)]


async def test_a_release_is_told_to_claims_that_wait(store: Store) -> None:
    (parent,) = await put(store, 0.0)
    await put_after(store, parent)
    one = await claim_one(store, start=True)
    heard: list[str] = []
    store.subscribe(Signal.READY, lambda: heard.append("ready"))
    await settle(store, one, Completion(1, 0.5))
    await resolve(store)
    assert heard


# -- retry -----------------------------------------------------------------------------------------


async def test_the_retry_of_a_parent_lets_those_wait_that_were_cancelled_for_it(
    store: Store,
) -> None:
    parent, other = await put(store, 0.0, 9.0)
    child = await put_after(store, parent, other)
    last = await put_after(store, child)
    by_hand = await put_after(store, parent)
    stranger = await put_after(store, other)
    await store.cancel([by_hand, stranger])
    await fail(store, parent)
    assert [await status_of(store, each) for each in (child, last)] == [S.CANCELLED] * 2
    await store.retry([parent])
    await resolve(store)
    assert [await is_blocked(store, each) for each in (child, last)] == [True, True]
    assert [await status_of(store, each) for each in (by_hand, stranger)] == [S.CANCELLED] * 2
    assert "error" not in (await record(store, child)).payload["execution"]
    for each in (parent, other, child, last):
        await complete(store, each)


async def test_a_retried_parent_may_end_again_before_all_its_children_wait(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lionpride.stores.sql.resolving.MAX_CHANGES", 3)
    parent, other = await put(store, 0.0, 9.0)
    children, blocked = [Job() for _ in range(8)], [Job() for _ in range(5)]
    last = Job()
    edges = {each.id: After((parent.id,)) for each in children}
    edges |= {each.id: After((parent.id, other.id), "finished") for each in blocked}
    await store.append(
        [(each, 1.0) for each in (*children, *blocked, last)],
        after=edges | after(last, children[-1]),
    )
    await store.cancel([parent])
    await resolve(store)
    assert [await is_cancelled_for(store, each, parent) for each in children] == [True] * 8
    again = asyncio.gather(store.retry([parent]), store.cancel([parent]))
    await asyncio.wait_for(again, 60.0)
    await resolve(store)
    assert await status_of(store, parent) is S.CANCELLED
    assert [await is_cancelled_for(store, each, parent) for each in children] == [True] * 8
    assert await is_cancelled_for(store, last, children[-1])
    assert [await is_blocked(store, each) for each in blocked] == [True] * 5
    await store.retry([parent])
    await resolve(store)
    assert [await is_blocked(store, each) for each in (*children, last)] == [True] * 9
    for each in (parent, *children, last, other):
        await complete(store, each)
    assert [await is_ready(store, each) for each in blocked] == [True] * 5
    await check_counts(store)


async def test_a_child_that_two_parents_have_failed_waits_after_both_are_retried(
    store: Store,
) -> None:
    one, two = await put(store, 0.0, 0.0)
    child = await put_after(store, one, two)
    await fail(store, one)
    await fail(store, two)
    assert await is_cancelled_for(store, child, one)
    await store.retry([one])
    await resolve(store)
    assert await status_of(store, child) is S.CANCELLED, "on account of the other now"
    await complete(store, one)
    assert await status_of(store, child) is S.CANCELLED
    await store.retry([two])
    await resolve(store)
    assert await is_blocked(store, child)
    await complete(store, two)
    assert await is_ready(store, child)


async def test_the_retry_of_a_parent_that_was_no_cause_changes_nothing_at_once(
    store: Store,
) -> None:
    one, two = await put(store, 0.0, 0.0)
    child = await put_after(store, one, two)
    await fail(store, one)
    await fail(store, two)
    await store.retry([two])
    await resolve(store)
    assert await status_of(store, child) is S.CANCELLED
    await store.retry([one])
    await resolve(store)
    assert await is_blocked(store, child), "neither has ended"
    await complete(store, one)
    assert await is_blocked(store, child)
    await complete(store, two)
    assert await is_ready(store, child)


async def test_the_retry_of_both_failed_parents_in_one_call_lets_the_child_wait(
    store: Store,
) -> None:
    one, two = await put(store, 0.0, 0.0)
    child = await put_after(store, one, two)
    await fail(store, one)
    await fail(store, two)
    await store.retry([two, one])
    await resolve(store)
    assert await is_blocked(store, child)


async def test_a_parent_and_the_child_cancelled_for_it_are_retried_in_one_call(
    store: Store,
) -> None:
    """The child would start before its parent otherwise: all failed events are retried at once."""
    (parent,) = await put(store, 1.0)
    child = await put_after(store, parent, priority=0.0)
    await fail(store, parent)
    await store.retry([child, parent])
    await resolve(store)
    assert await is_blocked(store, child)
    await complete(store, parent)
    assert await is_ready(store, child)


async def test_a_child_that_another_process_has_retried_shows_that_it_is_released(
    store: Store, clock: Clock, opened: list[Store]
) -> None:
    (parent,) = await put(store, 1.0)
    child = await put_after(store, parent)
    await fail(store, parent)
    await resolve(store)
    assert child.status is S.CANCELLED
    other = beside(store, clock, opened)
    await other.retry([child.id, parent.id])
    await complete(store, parent)
    await resolve(store)
    assert child.status is S.PENDING
    assert await is_ready(store, child)


async def test_a_blocked_child_waits_again_for_a_parent_that_had_met_its_condition(
    store: Store,
) -> None:
    one, two = await put(store, 0.0, 1.0)
    child = await put_after(store, one, two, when="finished")
    await fail(store, one)
    await store.retry([one])
    await resolve(store)
    (first,) = await claim(store, start=True)
    assert first[0].id == one.id
    await complete(store, two)
    assert await is_blocked(store, child)
    await settle(store, first, ENDINGS[S.FAILED])
    await resolve(store)
    assert await is_ready(store, child)


async def test_a_child_of_a_child_that_waits_again_waits_again(store: Store) -> None:
    """Its parent was cancelled, which met its condition, and another parent blocks it still."""
    one, two = await put(store, 0.0, 9.0)
    child = await put_after(store, one)
    last = await put_after(store, child, two, when="finished")
    await fail(store, one)
    assert await status_of(store, child) is S.CANCELLED
    await store.retry([one])
    await resolve(store)
    (running,) = await claim(store, start=True)
    assert running[0].id == one.id
    await complete(store, two)
    assert await is_blocked(store, last)
    await settle(store, running, Completion(1, 0.5))
    await resolve(store)
    await complete(store, child)
    assert await is_ready(store, last)


async def test_a_child_that_waits_again_waits_for_all_parents_of_the_call(store: Store) -> None:
    """One of them was the cause, and the other one had met the condition."""
    one, two = await put(store, 0.0, 0.0)
    child = await put_after(store, one, two, when="failed")
    await store.cancel([one])
    await resolve(store)
    assert await is_cancelled_for(store, child, one)
    await fail(store, two)
    await store.retry([one, two])
    await resolve(store)
    await fail(store, one)
    assert await is_blocked(store, child)
    await fail(store, two)
    assert await is_ready(store, child)


async def test_a_child_that_waits_again_does_not_wait_for_a_parent_that_was_removed(
    store: Store,
) -> None:
    one, two = await put(store, 0.0, 0.0)
    child = await put_after(store, one, two)
    await fail(store, one)
    await fail(store, two)
    await store.remove([two])
    await store.retry([one])
    await resolve(store)
    assert await is_blocked(store, child)
    await complete(store, one)
    assert await is_ready(store, child)


@pytest.mark.parametrize("in_one_call", [False, True])
async def test_a_child_whose_cause_was_removed_waits_again_for_another_parent(
    store: Store, in_one_call: bool
) -> None:
    """The parent for which it was cancelled is gone, and the other parent runs again."""
    one, two = await put(store, 0.0, 0.0)
    child = await put_after(store, one, two, when="failed")
    both = await put_after(store, one, two)
    await store.cancel([one])
    await resolve(store)
    await fail(store, two)
    assert await is_cancelled_for(store, child, one)
    assert await is_cancelled_for(store, both, one)
    await store.remove([one])
    await store.retry([child, two, both] if in_one_call else [two])
    await resolve(store)
    assert [await is_blocked(store, each) for each in (child, both)] == [True, True]
    await fail(store, two)
    assert await is_ready(store, child)
    assert await is_cancelled_for(store, both, two)


async def test_a_copy_of_a_child_that_waits_again_needs_no_parent_that_was_removed(
    make: Callable[[], Store], store: Store
) -> None:
    one, two = await put(store, 0.0, 0.0)
    child = await put_after(store, one, two)
    await fail(store, one)
    await fail(store, two)
    await store.remove([one])
    await store.retry([two])
    await resolve(store)
    assert await is_blocked(store, child)
    other = await copied(make, store)
    assert (await record(other, child)).is_blocked
    await complete(other, two)
    assert (await record(other, child)).due is None


async def test_a_child_whose_cause_was_removed_waits_again_in_a_copy(
    make: Callable[[], Store], store: Store
) -> None:
    one, two = await put(store, 0.0, 0.0)
    child = await put_after(store, one, two)
    await fail(store, one)
    await fail(store, two)
    await store.remove([one])
    other = await copied(make, store)
    assert (await record(other, child)).status is S.CANCELLED
    await other.retry([two.id])
    await resolve(other)
    assert (await record(other, child)).is_blocked


@pytest.mark.parametrize("started", [False, True])
async def test_a_released_child_stays_released(store: Store, started: bool) -> None:
    (parent,) = await put(store, 0.0)
    child = await put_after(store, parent, when="failed", priority=-1.0)
    await fail(store, parent)
    one = await claim_one(store, start=True) if started else None
    await store.retry([parent])
    await resolve(store)
    if one is None:
        assert await is_ready(store, child)
        one = await claim_one(store, start=True)
    assert one[0].id == child.id
    await complete(store, parent)
    assert await status_of(store, child) is S.PROCESSING, "its condition is not asked for again"
    assert [each.is_met for each in await store.parents(child)] == [True]
    await settle(store, one, Completion(1, 0.5))
    assert await status_of(store, child) is S.COMPLETED


async def test_the_retry_of_a_child_runs_it_at_once(store: Store) -> None:
    (parent,) = await put(store, 0.0)
    child = await put_after(store, parent, priority=-1.0)
    await fail(store, parent)
    await store.retry([child])
    await resolve(store)
    assert await is_ready(store, child)
    await store.retry([parent])
    await resolve(store)
    assert await is_ready(store, child), "it waits for no parent any more"
    await fail(store, child)
    await complete(store, parent)
    assert await status_of(store, child) is S.FAILED


async def test_a_child_that_was_retried_is_not_cancelled_for_another_parent(store: Store) -> None:
    one, two = await put(store, 0.0, 0.0)
    child = await put_after(store, one, two)
    await fail(store, one)
    await store.retry([child])
    await fail(store, two)
    assert await is_ready(store, child)
    assert [each.is_met for each in await store.parents(child)] == [False, False]


async def test_a_child_that_was_cancelled_for_a_child_of_a_retried_event_waits_in_one_call(
    store: Store,
) -> None:
    (first,) = await put(store, 1.0)
    middle = await put_after(store, first)
    last = await put_after(store, middle, priority=0.0)
    await fail(store, first)
    await store.retry([last, first])
    await resolve(store)
    assert [await is_blocked(store, each) for each in (middle, last)] == [True, True]


async def test_a_child_that_waits_again_starts_with_new_counters(
    store: Store, clock: Clock
) -> None:
    (parent,) = await put(store, 0.0)
    due = clock.now + 5.0
    child = await put_after(store, parent, terms=Terms(due=due, expires=due + 5.0))
    await fail(store, parent)
    await store.retry([parent])
    await resolve(store)
    clock.advance(60.0)
    await resolve(store)
    assert await is_blocked(store, child), "a retry ends the ttl"
    await complete(store, parent)
    assert await claim(store) == [(child, 1)]


# -- remove and prune ------------------------------------------------------------------------------


async def test_a_parent_with_unfinished_children_is_not_removed(store: Store) -> None:
    parent, other = await put(store, 0.0, 9.0)
    child = await put_after(store, parent, other)
    before = await picture(store)
    for given in ([parent], [other], [parent, other]):
        with pytest.raises(OperationError):
            await store.remove(given)
    assert await picture(store) == before
    await complete(store, parent)
    with pytest.raises(OperationError):
        await store.remove([parent])
    await store.cancel([child])
    await resolve(store)
    await store.remove([parent])
    assert await store.children(other) != []
    assert [each.place for each in await store.parents(child)] == [1], "places stay"


async def test_a_parent_is_removed_with_its_child(store: Store) -> None:
    (parent,) = await put(store, 0.0)
    child = await put_after(store, parent)
    last = await put_after(store, child)
    with pytest.raises(OperationError):
        await store.remove([parent, child])
    await store.remove([parent, child, last])
    assert await pages(store) == []
    await check_counts(store)


async def test_a_blocked_child_is_removed(store: Store) -> None:
    (parent,) = await put(store, 0.0)
    child = await put_after(store, parent)
    await store.remove([child])
    await complete(store, parent)
    assert await claim(store) == []
    await store.remove([parent])
    assert await pages(store) == []


@pytest.mark.parametrize("limit", [None, 2])
async def test_prune_leaves_parents_of_unfinished_children(store: Store, limit: int | None) -> None:
    parent, other, *free = await put(store, 0.0, 9.0, 1.0, 1.0)
    child = await put_after(store, parent, other)
    for each in (parent, *free):
        await complete(store, each)
    await store.prune(TERMINAL, limit=limit)
    assert set(await listed(store)) == {parent.id, other.id, child.id}
    await complete(store, other)
    await store.prune(TERMINAL, limit=limit)
    assert set(await listed(store)) == {parent.id, other.id, child.id}
    assert len(await store.parents(child)) == 2
    await complete(store, child)
    for _ in range(3):
        await store.prune(TERMINAL, limit=limit)
    assert await pages(store) == []


# -- parents, children, and the position of an event -----------------------------------------------


async def test_parents_are_listed_in_the_order_of_the_append_page_by_page(store: Store) -> None:
    parents = await put(store, *range(7))
    order = [parents[i] for i in (3, 1, 6, 0, 2)]
    child = await put_after(store, *order)
    first = await store.parents(child, limit=2)
    assert [(each.place, each.record.id) for each in first] == [
        (0, order[0].id),
        (1, order[1].id),
    ]
    rest = await store.parents(child, first=2)
    assert [each.record.id for each in rest] == [each.id for each in order[2:]]
    assert await store.parents(child, first=5) == []
    assert await store.parents(parents[0]) == []
    assert [each.record.id for each in await store.parents(str(child.id))] == [
        each.id for each in order
    ]
    with pytest.raises(NotFoundError):
        await store.parents(uuid4())


async def test_children_are_listed_by_arrival_page_by_page(store: Store) -> None:
    parent, other = await put(store, 0.0, 1.0)
    children = [await put_after(store, parent, when=when) for when in CONDITIONS]
    await put_after(store, other)
    first = await store.children(parent, limit=2)
    numbers = [(await record(store, each)).number for each in children]
    assert [each.place for each in first] == numbers[:2]
    rest = await store.children(parent, first=first[-1].place + 1)
    assert [each.place for each in rest] == numbers[2:]
    assert [each.when for each in (*first, *rest)] == list(CONDITIONS)
    assert [each.record.id for each in (*first, *rest)] == [each.id for each in children]
    assert await store.children(children[0]) == []
    with pytest.raises(NotFoundError):
        await store.children(uuid4())


async def test_the_parents_are_counted_by_status(store: Store) -> None:
    parents = await put(store, 1.0, 2.0, 3.0, 4.0)
    child = await put_after(store, *parents, when="finished")
    await complete(store, parents[0])
    await fail(store, parents[1])
    await claim_one(store, start=True)
    await put(store, 5.0)
    expected = dict.fromkeys(S, 0) | {S.COMPLETED: 1, S.FAILED: 1, S.PROCESSING: 1, S.PENDING: 1}
    assert await store.parent_counts(child.id) == expected
    await store.cancel([child.id])
    await store.remove([parents[1].id])
    assert await store.parent_counts(child.id) == expected | {S.FAILED: 0}
    assert await store.parent_counts(parents[0].id) == dict.fromkeys(S, 0)
    with pytest.raises(NotFoundError):
        await store.parent_counts(uuid4())


async def test_the_lists_say_which_parents_have_met_the_condition(store: Store) -> None:
    one, two, three = await put(store, 0.0, 1.0, 2.0)
    child = await put_after(store, one, two, three)
    await complete(store, one)
    await fail(store, two)
    found = await store.parents(child)
    assert [each.is_met for each in found] == [True, False, None]
    assert [each.record.status for each in found] == [S.COMPLETED, S.FAILED, S.PENDING]
    assert [each.is_met for each in await store.children(one)] == [True]
    assert [each.is_met for each in await store.children(three)] == [None]
    await store.retry([two])
    await resolve(store)
    assert [each.is_met for each in await store.parents(child)] == [True, None, None]


async def test_the_position_of_a_blocked_event_names_its_first_unfinished_parent(
    store: Store,
) -> None:
    one, two, three = await put(store, 0.0, 1.0, 2.0)
    child = await put_after(store, three, one, two, when="finished")
    await complete(store, one)
    await claim_one(store, start=True)
    at = await store.explain(child.id)
    assert at is not None
    assert (at.status, at.ahead, at.due) == (S.PENDING, 0, inf)
    assert at.blockers is not None
    assert (at.blockers.id, at.blockers.status) == (three.id, S.PENDING)
    assert (at.blockers.kind, at.blockers.queue) == (Job.class_name(full=True), store.queue)
    assert (at.blockers.when, at.blockers.total) == ("finished", 2)
    free = await store.explain(three.id)
    assert free is not None
    assert free.blockers is None


async def test_a_released_event_has_no_blockers(store: Store) -> None:
    (parent,) = await put(store, 0.0)
    child = await put_after(store, parent)
    await complete(store, parent)
    at = await store.explain(child.id)
    assert at is not None
    assert (at.blockers, at.ahead, at.due) == (None, 0, None)


# -- load and import -------------------------------------------------------------------------------


async def copied(make: Callable[[], Store], store: Store) -> Store:
    """Return another store with the records of this one."""
    other = make()
    await other.import_records(await pages(store))
    await resolve(other)
    return other


async def test_a_blocked_child_is_blocked_in_a_copy(
    store: Store, make: Callable[[], Store], clock: Clock
) -> None:
    parent, other = await put(store, 0.0, 1.0)
    due = clock.now + 5.0
    child = await put_after(store, parent, other, terms=Terms(due=due))
    last = await put_after(store, child)
    await complete(store, parent)
    copy = await copied(make, store)
    assert [(await record(copy, each)).is_blocked for each in (child, last)] == [True, True]
    found = [(each.record.id, each.is_met) for each in await copy.parents(child.id)]
    assert found == [(parent.id, True), (other.id, None)]
    one = await claim_one(copy, start=True)
    assert one[0].id == other.id
    await settle(copy, one, Completion(1, 0.5))
    await resolve(copy)
    assert (await record(copy, child)).due == due
    await check_counts(copy)


async def test_an_event_that_was_running_is_pending_in_a_copy_and_blocks_its_child(
    store: Store, make: Callable[[], Store]
) -> None:
    (parent,) = await put(store, 0.0)
    child = await put_after(store, parent)
    await claim_one(store, start=True)
    copy = await copied(make, store)
    assert (await record(copy, child)).is_blocked
    (event, _), *_ = await claim(copy, 9)
    assert event.id == parent.id


async def test_released_children_are_released_in_a_copy(
    store: Store, make: Callable[[], Store]
) -> None:
    one, two = await put(store, 0.0, 0.5)
    retried = await put_after(store, one)
    released = await put_after(store, two, when="finished")
    await fail(store, one)
    await fail(store, two)
    await store.retry([retried, two])
    await resolve(store)
    copy = await copied(make, store)
    assert [(await record(copy, each)).is_blocked for each in (retried, released)] == [False] * 2
    assert {event.id for event, _ in await claim(copy, 9)} == {two.id, retried.id, released.id}


async def test_a_cancelled_child_waits_again_in_a_copy_after_a_retry_of_its_parent(
    store: Store, make: Callable[[], Store]
) -> None:
    (parent,) = await put(store, 0.0)
    child = await put_after(store, parent)
    last = await put_after(store, child)
    await fail(store, parent)
    copy = await copied(make, store)
    assert (await record(copy, last)).status is S.CANCELLED
    await copy.retry([parent.id])
    await resolve(copy)
    assert [(await record(copy, each)).is_blocked for each in (child, last)] == [True, True]


@pytest.mark.parametrize("status", [S.FAILED, S.CANCELLED])
async def test_a_dependency_error_of_the_code_itself_is_imported(
    store: Store, make: Callable[[], Store], status: EventStatus
) -> None:
    (parent,) = await put(store, 0.0)
    child = await put_after(store, parent)
    await complete(store, parent)
    error = DependencyError("no report", details={"parent": "report-7"})
    await end_with(store, child, Ending(status, error=error, duration=0.5))
    copy = await copied(make, store)
    assert await status_of(copy, child) is status
    found = await error_of(copy, child)
    assert (found["message"], found["details"]) == ("no report", {"parent": "report-7"})


async def test_a_blocked_child_without_its_parents_is_refused(
    store: Store, make: Callable[[], Store]
) -> None:
    parent, other = await put(store, 0.0, 1.0)
    await put_after(store, parent)
    found = [each for each in await pages(store) if each.id != parent.id]
    copy = make()
    with pytest.raises(NotFoundError, match=str(parent.id)):
        await copy.import_records(found)
    assert await pages(copy) == []
    await copy.import_records([each for each in found if each.id == other.id])
    assert len(await pages(copy)) == 1


async def test_the_parents_of_a_child_may_be_imported_before(
    store: Store, make: Callable[[], Store]
) -> None:
    (parent,) = await put(store, 0.0)
    child = await put_after(store, parent)
    await fail(store, parent)
    await store.retry([parent])
    await resolve(store)
    copy = make()
    for each in await pages(store):
        await copy.import_records([each])
    assert (await record(copy, child)).is_blocked
    one = await claim_one(copy, start=True)
    await settle(copy, one, ENDINGS[S.FAILED])
    await resolve(copy)
    assert (await record(copy, child)).status is S.CANCELLED
