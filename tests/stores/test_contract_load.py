"""Every store is asked the same questions: what is restored is what was dumped."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from stores.asking import (
    ENDINGS,
    bring,
    check_counts,
    claim,
    claim_one,
    listed,
    pages,
    picture,
    put,
    record,
    settle,
)
from stores.makers import Clock, Job

from lionpride.errors import ExistsError
from lionpride.model.collections.flow import Flow
from lionpride.model.execution import TERMINAL, EventStatus, Execution
from lionpride.rules.state_machine import MAX_INTERRUPTIONS, RELEASED, Ending, after_denial
from lionpride.stores.contract import Store

S = EventStatus
Make = Callable[[], Store]
Mode = Literal["python", "json"]

modes = pytest.mark.parametrize("mode", ["python", "json"])


def dump(store: Store, mode: Mode) -> dict[str, Any]:
    data = store.states.to_dict(mode)
    return json.loads(json.dumps(data)) if mode == "json" else data


def events_of(data: dict[str, Any]) -> list[Job]:
    flow: Flow[Any, Any] = Flow.from_dict(data)
    return list(flow.items)


def said(store: Store) -> dict[str, list[dict[str, Any]]]:
    """What the store says of each event by status, as plain data."""
    return {
        status: [store.states.items[uid].to_dict("json") for uid in progression.order]
        for status in EventStatus
        for progression in [store.states.get_progression(status.value)]
    }


async def one_of_each(store: Store) -> None:
    """An event in every status, two that wait, and two that have come back to wait."""
    for status in (*TERMINAL, S.PENDING):
        await bring(store, status)
    for outcome in (after_denial(0, 60.0), Ending(S.PENDING, delay=30.0, tries=1)):
        (job,) = await put(store, -1_000.0)
        one = await claim_one(store, start=outcome.tries == 1)
        assert one[0] is job
        await settle(store, one, outcome)


@pytest.mark.promise("reopening-changes-nothing", "notebook-serialization")
@modes
async def test_d3_a_dump_after_a_restart_is_the_dump_before_it(make: Make, mode: Mode) -> None:
    first = make()
    await one_of_each(first)
    second, third = make(), make()
    assert await second.load(events_of(dump(first, mode))) == len(first.states.items)
    assert said(second) == said(first)
    assert await second.counts() == await first.counts()
    await check_counts(second)
    await third.load(events_of(dump(second, mode)))
    assert said(third) == said(second), "a second restart changes nothing"
    assert len(dump(third, mode)["items"]) == len(first.states.items)
    assert len(dump(third, mode)["progressions"]) == len(EventStatus)


async def test_d3_the_dump_of_a_users_own_error_survives_a_restart_too(make: Make) -> None:
    first, second = make(), make()
    await put(first, 1.0)
    one = await claim_one(first, start=True)
    await settle(first, one, Ending(S.FAILED, error=ValueError("no"), retryable=True, tries=1))
    await second.load(events_of(dump(first, "json")))
    assert said(second) == said(first)


@modes
async def test_d3_the_order_of_claims_survives_a_restart(make: Make, mode: Mode) -> None:
    first, second = make(), make()
    jobs = await put(first, 2.0, 1.0, 2.0, 1.0)
    await settle(first, await claim_one(first), RELEASED)
    await second.load(events_of(dump(first, mode)))
    claims = await claim(second, 9)
    assert [event.id for event, _ in claims] == [jobs[n].id for n in (1, 3, 0, 2)]
    assert [attempt for _, attempt in claims] == [2, 1, 1, 1], "F1: attempts go on"


@pytest.mark.promise("interrupted-is-not-failed")
@modes
@pytest.mark.parametrize("started", [False, True])
async def test_c4_what_was_claimed_waits_after_a_restart(
    make: Make, mode: Mode, started: bool
) -> None:
    first, second = make(), make()
    job = await bring(first, S.PROCESSING, started=started)
    await second.load(events_of(dump(first, mode)))
    assert await listed(second) == {job.id: S.PENDING}
    found = await record(second, job)
    assert found.attempt == 1
    assert found.interruptions == (1 if started else 0), "interrupted only if it ran"
    assert found.tries == 0, "F5: an interruption uses up no try"
    ((_, attempt),) = await claim(second, 9)
    assert attempt == 2


@pytest.mark.promise("interruptions-are-bounded")
@pytest.mark.parametrize(
    ("interruptions", "after"),
    [(MAX_INTERRUPTIONS - 1, S.PENDING), (MAX_INTERRUPTIONS, S.FAILED)],
)
async def test_f5_a_restart_too_many_fails_what_ran(
    store: Store, interruptions: int, after: EventStatus
) -> None:
    state = {"status": "processing", "attempt": 30, "interruptions": interruptions}
    job = Job(execution=Execution.from_dict(state))
    await store.load([job])
    assert await listed(store) == {job.id: after}
    assert job.execution.interruptions == interruptions + 1
    assert len(await claim(store)) == (1 if after is S.PENDING else 0)


async def test_a_denied_event_still_waits_out_its_denial_after_a_restart(
    make: Make, clock: Clock
) -> None:
    first, second = make(), make()
    await put(first, 1.0)
    await settle(first, await claim_one(first), after_denial(0, 5.0))
    await second.load(events_of(dump(first, "json")))
    claims, wait = await second.claim("worker")
    assert (claims, wait) == ([], 5.0)
    assert len(await claim(second, denied=True)) == 1, "a round by hand overrides it"


async def test_a1_load_takes_all_or_none(make: Make) -> None:
    store = make()
    known = await bring(store, S.COMPLETED)
    before = await picture(store)
    state = {"status": "processing", "attempt": 1}
    running = Job(execution=Execution.from_dict(state))
    with pytest.raises(ExistsError):
        await store.load([running, Job(id=known.id)])
    assert await picture(store) == before
    assert running.status is S.PROCESSING, "it is not touched"
    with pytest.raises(ExistsError):
        await store.load([running, Job(id=running.id)])
    assert await picture(store) == before
    assert await store.load([running]) == 1


async def test_load_of_nothing_is_nothing(store: Store) -> None:
    assert await store.load([]) == 0
    assert await pages(store) == []


async def test_an_event_that_never_had_a_priority_gets_its_time_of_creation(store: Store) -> None:
    early, late = (Job(created_at=datetime.fromtimestamp(n, UTC)) for n in (5, 6))
    await store.load([late, early])
    assert [event for event, _ in await claim(store, 2)] == [early, late]
    assert (await record(store, early)).priority == 5.0


async def test_what_has_arrived_before_a_restart_stands_before_what_comes_after(
    make: Make,
) -> None:
    first, second = make(), make()
    old = await put(first, 1.0, 1.0)
    await second.load(events_of(dump(first, "json")))
    new = await put(second, 1.0)
    claims = await claim(second, 9)
    assert [event.id for event, _ in claims] == [each.id for each in (*old, *new)]
    assert await second.last_arrival() == (await record(second, new[0])).number


async def test_the_result_comes_through_a_restart(make: Make) -> None:
    first, second = make(), make()
    done, failed = await bring(first, S.COMPLETED), await bring(first, S.FAILED)
    await second.load(events_of(dump(first, "json")))
    restored = {event.id: event.execution for event in second.states.items}
    assert restored[done.id].response == ENDINGS[S.COMPLETED].response
    assert restored[done.id].error is None
    assert "broken" in str(restored[failed.id].error)
    assert restored[failed.id].tries == 1
