"""Events that a process claims and cannot build: they wait for one that can.

A store in memory holds the events themselves, so there are none.
"""

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from pydantic import create_model
from stores.homes import Home
from stores.makers import HOMES, Clock, Folder, Job, postgres_in, sqlite_in

from lionpride.errors import OperationError
from lionpride.model.event_data import EventData
from lionpride.model.execution import EventStatus
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.queue_position import About
from lionpride.rules.state_machine import Completion
from lionpride.stores.contract import Claim, Store
from lionpride.stores.terms import Terms

S = EventStatus


class Releases:
    """One class as two releases define it; the later definition takes the place of the first."""

    @classmethod
    def new(cls) -> type[EventData]:
        return cls._define({"note": (str, "")})

    @classmethod
    def old(cls) -> type[EventData]:
        return cls._define({})

    @staticmethod
    def _define(fields: dict[str, Any]) -> type[EventData]:
        return create_model("Versioned", __base__=EventData, __module__=__name__, **fields)


Make = Callable[[], Any]


@pytest.fixture(params=["sqlite", "postgres"])
def process(request: pytest.FixtureRequest, clock: Clock, opened: list[Store]) -> Make:
    """Makes one more store over the same tables, as another process would have it."""
    folder, home = Folder(), Home() if request.param == "postgres" else None

    def make() -> Any:
        if home is None:
            store: Store = sqlite_in(folder, clock)
        else:
            store = postgres_in(home, clock)
            assert HOMES[store] is home
        opened.append(store)
        return store

    return make


async def put(store: Any, *events: EventData) -> None:
    await store.append([(event, float(at)) for at, event in enumerate(events)])
    await store.close()  # it holds the events, so it could claim them without building any


async def put_unreadable(process: Make, n: int, *others: EventData) -> None:
    new = Releases.new()
    await put(process(), *[new(note=f"{at}") for at in range(n)], *others)  # type: ignore[call-arg]


async def claim_all(store: Any, n: int = 100, **how: Any) -> list[Claim]:
    """Claim until there is nothing to be had at once."""
    claims: list[Claim] = []
    while True:
        some, wait = await store.claim("worker", n, start=True, **how)
        claims += some
        if not some and wait != 0.0:
            await store.settled()
            some, wait = await store.claim("worker", n, start=True, **how)
            if not some and wait != 0.0:
                return claims
            claims += some


async def pending(store: Any, total: int) -> list[Any]:
    """The records of what waits, once there are so many: what is released is on its way."""
    await store.settled()
    while (counts := await store.counts())[S.PENDING] != total:
        assert (counts[S.PENDING] < total, counts[S.FAILED]) == (True, 0)
    found: list[Any] = await store.list_records(S.PENDING, limit=20_000)
    return found


async def test_an_event_that_cannot_be_built_waits_as_it_was(
    process: Make, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await put_unreadable(process, 1, Job(label="a"))
    old, store = Releases.old(), process()
    with caplog.at_level(logging.WARNING, "lionpride"):
        claims = await claim_all(store)
    assert [each.label for each, _ in claims] == ["a"]  # type: ignore[attr-defined]
    (record,) = await pending(store, 1)
    assert (record.tries, record.interruptions, record.denials) == (0, 0, 0)
    assert (record.priority, record.due, record.attempt) == (0.0, None, 1)
    assert record.payload["execution"]["status"] == "pending"
    assert "error" not in record.payload["execution"]
    (said,) = [text for text in caplog.messages if "cannot be read in this process" in text]
    assert f"event {record.id} of {record.kind}" in said
    assert said.endswith("note: Extra inputs are not permitted")
    assert old is not None


async def test_it_is_not_claimed_again_by_this_process_for_ten_minutes(
    process: Make, clock: Clock
) -> None:
    await put_unreadable(process, 1)
    old, store = Releases.old(), process()
    assert await claim_all(store) == []
    clock.advance(599)
    claims, wait = await store.claim("worker", 5)
    assert (claims, (await pending(store, 1))[0].attempt) == ([], 1)
    assert wait is not None
    assert 0 < wait <= 1
    clock.advance(2)
    assert await claim_all(store) == []
    assert (await pending(store, 1))[0].attempt == 2
    assert old is not None


async def test_a_process_that_can_build_it_runs_it(process: Make) -> None:
    await put_unreadable(process, 3)
    old, one, other = Releases.old(), process(), process()
    assert await claim_all(one) == []
    await pending(one, 3)
    new = Releases.new()
    claims = await claim_all(other)
    assert [(event.note, attempt) for event, attempt in claims] == [  # type: ignore[attr-defined]
        ("0", 2),
        ("1", 2),
        ("2", 2),
    ]
    assert (old, new) is not None


async def test_a_class_that_is_defined_anew_is_claimed_at_once(process: Make) -> None:
    await put_unreadable(process, 120)
    old, store = Releases.old(), process()
    assert await claim_all(store) == []
    await pending(store, 120)
    new = Releases.new()
    assert len(await claim_all(store)) == 120
    assert (old, new) is not None


@pytest.mark.parametrize("limits", [None, Limits([Limit("requests", 1000, per=60)])])
@pytest.mark.parametrize("n", [1, 7, 100])
async def test_after_a_hundred_the_class_is_passed_over_for_a_minute(
    process: Make, clock: Clock, n: int, limits: Limits | None
) -> None:
    await put_unreadable(process, 230, Job(label="last"))
    old, store = Releases.old(), process()
    claims = await claim_all(store, n, limits=limits)
    assert [each.label for each, _ in claims] == ["last"]  # type: ignore[attr-defined]
    await store.settle([(*claim, Completion(None, 0.0)) for claim in claims])
    tried = [one.attempt for one in await pending(store, 230)]
    most = 100 + (n - 100 % n) % n
    assert tried == [1] * most + [0] * (230 - most)
    clock.advance(59)
    assert await claim_all(store, n, limits=limits) == []
    assert sum(one.attempt for one in await pending(store, 230)) == most
    clock.advance(2)
    assert await claim_all(store, n, limits=limits) == []
    assert sum(one.attempt for one in await pending(store, 230)) == 2 * most
    assert old is not None


@pytest.mark.parametrize("start", [True, False])
async def test_nothing_of_a_limit_is_used_up(process: Make, clock: Clock, start: bool) -> None:
    limits = Limits([Limit("requests", 5, per=60), Limit("slots", 5)])
    await put_unreadable(process, 40, *[Job() for _ in range(9)])
    old, store = Releases.old(), process()
    claims: list[Claim] = []
    for _ in range(60):
        claims += (await store.claim("worker", 3, start=start, limits=limits))[0]
        await store.settled()
    assert len(claims) == 5
    (requests, slots) = await store.limit_usage(limits)
    assert (requests.used, slots.used) == (5, 5)
    assert old is not None


async def test_it_is_failed_if_that_is_asked_for(process: Make) -> None:
    await put_unreadable(process, 1, Job(label="a"))
    old, store = Releases.old(), process()
    store.event_types.fail_unreadable()
    assert [type(event) for event, _ in await claim_all(store)] == [Job]
    (record,) = await store.list_records(S.FAILED)
    assert (record.attempt, record.tries) == (1, 1)
    assert "note" in str(record.payload["execution"]["error"])
    assert record.payload["execution"]["retryable"] is False
    assert old is not None


async def test_what_no_worker_can_run_is_named_with_a_reason(process: Make) -> None:
    await put_unreadable(process, 3)
    old, store = Releases.old(), process()
    assert await store.stuck() == []
    store.register_worker("worker", lambda event: None)
    assert await claim_all(store) == []
    records = await pending(store, 3)
    (stuck,) = await store.stuck()
    assert (stuck.kind, stuck.total) == (records[0].kind, 3)
    assert stuck.unreadable.reason == "note: Extra inputs are not permitted"
    assert UUID(stuck.unreadable.example) in [one.id for one in records]
    late = Job()
    await store.append([(late, 9.0)])
    assert await store.stuck() == [], "an event that can be run waits beside them"
    await store.cancel([late])
    assert len(await store.stuck()) == 1
    store.unregister_worker("worker")
    assert old is not None


async def test_nothing_is_stuck_before_the_last_event_that_can_run_has_gone(
    process: Make, clock: Clock
) -> None:
    await put_unreadable(process, 3)
    old, store = Releases.old(), process()
    store.register_worker("worker", lambda event: None)
    assert await claim_all(store) == []
    await pending(store, 3)
    soon, later = Job(), Job()
    await store.append([(soon, 9.0)])
    await store.append([(later, 9.0)], terms=Terms(due=clock.now + 60.0))
    for gone in (soon, later):
        assert [await store.stuck() for _ in range(3)] == [[]] * 3
        await store.cancel([gone])
    assert [one.total for one in await store.stuck()] == [3]
    store.unregister_worker("worker")
    assert old is not None


async def test_while_another_worker_may_be_able_to_run_it_there_is_hope(process: Make) -> None:
    await put_unreadable(process, 1)
    old, one, other = Releases.old(), process(), process()
    one.register_worker("worker", lambda event: None, lambda: About(1))
    assert await claim_all(one) == []
    await pending(one, 1)
    other.register_worker("other", lambda event: None, lambda: About(1))
    await other.claim("other", 0)
    assert await one.stuck() == []
    assert await claim_all(other) == []
    await pending(other, 1)
    while not (await one.workers())[-1].about.unreadable:
        await other.reap()
    (stuck,) = await one.stuck()
    assert stuck.total == 1
    one.unregister_worker("worker")
    other.unregister_worker("other")
    assert old is not None


async def test_a_worker_says_what_it_cannot_read(process: Make) -> None:
    await put_unreadable(process, 2)
    old, store, looker = Releases.old(), process(), process()
    store.register_worker("worker", lambda event: None, lambda: About(1))
    assert await claim_all(store) == []
    first, _ = await pending(store, 2)
    await store.reap()
    (worker,) = await looker.workers()
    (said,) = worker.about.unreadable
    assert (said.kind, said.total) == (first.kind, 2)
    assert said.reason == "note: Extra inputs are not permitted"
    assert store.event_types.why_unreadable(first.id, first.kind) == said.reason
    assert store.event_types.why_unreadable(UUID(int=1), first.kind) is None
    store.unregister_worker("worker")
    assert old is not None


# -- appended again --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3000], ids=["few", "many"])
async def test_an_append_that_meets_an_unreadable_event_names_it_and_appends_nothing(
    process: Make, n: int
) -> None:
    await put_unreadable(process, 1, Job(label="readable"))
    old, store = Releases.old(), process()
    unreadable, readable = await pending(store, 2)
    again = [old(id=unreadable.id), Job(id=readable.id, label="readable")]
    jobs = [Job(label=f"{at}") for at in range(n)]
    entries = [(event, 1.0) for event in (*jobs, *again, Job(label="last"))]
    with pytest.raises(OperationError, match=f"event {unreadable.id} of .* cannot be read") as told:
        await store.append(entries, exist_ok=True)
    assert "note: Extra inputs are not permitted" in str(told.value)
    assert [each.id for each in await pending(store, 2)] == [unreadable.id, readable.id]
    assert not any(job.execution.arrival for job in jobs)
    del entries[n]
    held = await store.append(entries, exist_ok=True)
    assert [event.id for event in held] == [event.id for event, _ in entries]
    assert len(await pending(store, n + 3)) == n + 3


async def test_an_append_that_an_unreadable_event_stands_for_names_it_and_appends_nothing(
    process: Make, clock: Clock
) -> None:
    terms = Terms(unique=("report", clock.now))
    first = process()
    await first.append([(Releases.new()(note="new"), 1.0)], terms=terms)  # type: ignore[call-arg]
    await first.close()
    old, store = Releases.old(), process()
    (unreadable,) = await pending(store, 1)
    job = Job()
    with pytest.raises(OperationError, match=f"event {unreadable.id} of .* cannot be read"):
        await store.append([(job, 1.0)], terms=terms)
    assert [each.id for each in await pending(store, 1)] == [unreadable.id]
    assert job.execution.arrival is None
    assert old is not None


async def test_an_unreadable_event_that_is_looked_for_is_named(process: Make) -> None:
    await put_unreadable(process, 1)
    old, store = Releases.old(), process()
    (unreadable,) = await pending(store, 1)
    with pytest.raises(OperationError, match=f"event {unreadable.id} of .* cannot be read"):
        await store.find(unreadable.id)
    assert old is not None
