"""Recurring events through an executor, on every store; the clock of the store is set by hand."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from engine.firing import fire
from stores.makers import STORES

from lionpride import (
    ConfigurationError,
    Cron,
    Event,
    EventStatus,
    Every,
    Executor,
    ExistsError,
    NotFoundError,
    OperationError,
    Retry,
    Schedule,
    Then,
    ValidationError,
    job,
)
from lionpride.engine.schedule_firing import ScheduleFiring
from lionpride.rules.schedules import event_id
from lionpride.stores.contract import Store
from lionpride.stores.record import Record
from lionpride.stores.schedule_record import ScheduleRecord

S = EventStatus
START = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
DAY = 86_400.0


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, opened: list[Store], clock: Clock) -> Store:
    """An empty store of each kind with a clock of its own."""
    opened.append(STORES[request.param](clock))
    return opened[0]


class Report(Event):
    """Notes the instants that it ran for."""

    team: str = "all"
    wait: bool = False
    ran: ClassVar[list[float]] = []
    gate: ClassVar[asyncio.Event]
    retry: ClassVar = Retry(max_attempts=2, backoff=3600.0, jitter=False)

    async def _invoke(self) -> str:
        assert self.execution.scheduled_for is not None
        if self.wait:
            await self.gate.wait()
        self.ran.append(self.execution.scheduled_for)
        return self.team


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    Report.ran.clear()


def executor_of(store: Store, **how: Any) -> Executor:
    return Executor.of(Report, store=store, queue="reports", **how)


async def events(store: Store) -> list[Record]:
    return await store.list_records()


async def instants(store: Store) -> list[float]:
    return [each.payload["metadata"]["lion_schedule"]["at"] for each in await events(store)]


# -- when events are appended ----------------------------------------------------------------------


async def test_an_event_is_appended_at_each_instant(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    record = await executor.schedule("hourly", Report(team="a"), Every(3600))
    assert record.next == START + 3600
    await executor.forward()
    assert await events(store) == []
    for hour in (1, 2, 3):
        clock.now = START + 3600 * hour + 0.25
        await executor.forward()
    assert Report.ran == [START + 3600, START + 7200, START + 10_800]
    assert [each.status for each in await events(store)] == [S.COMPLETED] * 3
    assert [each.payload["team"] for each in await events(store)] == ["a"] * 3


async def test_the_id_of_an_event_derives_from_the_schedule_and_the_instant(
    store: Store, clock: Clock
) -> None:
    executor = executor_of(store)
    record = await executor.schedule("hourly", Report(), Every(3600))
    clock.now += 3600
    await executor.forward()
    (event,) = await events(store)
    assert event.id == event_id(record.id, START + 3600)
    assert (await executor.schedules.get("hourly")).last == (START + 3600, event.id)


async def test_two_workers_append_one_event(store: Store, clock: Clock) -> None:
    executor, other = executor_of(store), executor_of(store)
    await executor.schedule("hourly", Report(), Every(3600))
    clock.now += 3600
    await asyncio.gather(*(fire(each) for each in (executor, other) * 5))
    assert len(await events(store)) == 1


async def test_a_late_tick_does_not_shift_the_grid(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    await executor.schedule("hourly", Report(), Every(3600))
    clock.now += 3600 + 1799.5
    await executor.forward()
    assert (await executor.schedules.get("hourly")).next == START + 7200


@pytest.mark.virtual
async def test_a_running_worker_appends_without_a_call() -> None:
    executor = Executor.of(Report, queue="reports")
    async with executor:
        await executor.schedule("often", Report(), Every(1))
        while len(Report.ran) < 2:
            await asyncio.sleep(0.05)
    assert Report.ran[1] - Report.ran[0] == 1.0


async def test_a_busy_worker_appends(store: Store, clock: Clock) -> None:
    Report.gate = asyncio.Event()
    async with executor_of(store, concurrency_limit=1) as executor:
        await executor.append(Report(wait=True))
        await executor.schedule("hourly", Report(), Every(3600))
        clock.now += 3601
        await executor.schedule("other", Report(), Every(DAY))  # the timer looks again
        while len(await events(store)) < 2:
            await asyncio.sleep(0.01)
        Report.gate.set()


async def test_a_paused_queue_still_appends(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    await executor.schedule("hourly", Report(), Every(3600))
    await executor.pause(scope="queue")
    clock.now += 3600
    await executor.forward()
    assert [each.status for each in await events(store)] == [S.PENDING]


async def test_a_full_queue_skips_the_instant(store: Store, clock: Clock) -> None:
    executor = executor_of(store, max_queue_size=1)
    await executor.start()
    await executor.append(Report())
    await executor.schedule("hourly", Report(), Every(3600))
    clock.now += 3600
    await fire(executor)
    record = await executor.schedules.get("hourly")
    assert record.skipped == (START + 3600, "the queue was full")
    assert (record.next, record.last) == (START + 7200, None)
    assert len(await events(store)) == 1


# -- missed instants -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missed", "limit", "expected"),
    [
        ("skip", 100, []),
        ("last", 100, [4]),
        ("all", 100, [1, 2, 3, 4]),
        ("all", 3, [2, 3, 4]),
    ],
)
async def test_a_host_that_was_away(
    store: Store, clock: Clock, missed: Any, limit: int, expected: list[int]
) -> None:
    executor = executor_of(store)
    await executor.schedule("daily", Report(), Every(DAY), missed=missed, missed_limit=limit)
    clock.now += 4.5 * DAY
    await fire(executor)
    assert await instants(store) == [START + DAY * day for day in expected]
    record = await executor.schedules.get("daily")
    assert record.next == START + 5 * DAY
    await fire(executor)
    assert len(await events(store)) == len(expected)
    if len(expected) < 4:
        assert record.skipped is not None
        assert record.skipped.at == START + DAY * (4 - len(expected))
        assert record.skipped.reason.startswith("missed")


async def test_skip_uses_an_instant_that_is_on_time(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    await executor.schedule("daily", Report(), Every(DAY), missed="skip")
    clock.now += DAY + 59
    await fire(executor)
    assert await instants(store) == [START + DAY]


# -- overlap ---------------------------------------------------------------------------------------


async def _one_running(store: Store, clock: Clock, overlap: Any) -> Executor:
    """Return an executor whose schedule has a running event, at its second instant."""
    Report.gate = asyncio.Event()
    executor = executor_of(store)
    await executor.schedule("hourly", Report(wait=True), Every(3600), overlap=overlap)
    clock.now += 3600
    await fire(executor)
    await store.claim("a worker", start=True)
    clock.now += 3600
    await fire(executor)
    return executor


async def test_allow_appends_beside_a_running_event(store: Store, clock: Clock) -> None:
    await _one_running(store, clock, "allow")
    assert [each.status for each in await events(store)] == [S.PROCESSING, S.PENDING]


async def test_skip_skips_while_an_event_runs(store: Store, clock: Clock) -> None:
    executor = await _one_running(store, clock, "skip")
    assert len(await events(store)) == 1
    record = await executor.schedules.get("hourly")
    assert record.skipped == (START + 7200, "the event before has not finished")
    assert record.next == START + 10_800


async def test_queue_keeps_one_event_that_waits(store: Store, clock: Clock) -> None:
    executor = await _one_running(store, clock, "queue")
    first, second = await events(store)
    assert second.is_blocked
    clock.now += 3600
    await fire(executor)
    assert len(await events(store)) == 2
    (parent,) = await store.parents(second.id)
    assert (parent.record.id, parent.when) == (first.id, "finished")


async def test_replace_cancels_the_event_before(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    await executor.schedule("hourly", Report(), Every(3600), overlap="replace")
    clock.now += 3600
    await fire(executor)
    clock.now += 3600
    await fire(executor)
    assert [each.status for each in await events(store)] == [S.CANCELLED, S.PENDING]


async def test_an_event_that_waits_for_a_retry_is_unfinished(store: Store, clock: Clock) -> None:
    class Fails(Report):
        async def _invoke(self) -> str:
            raise RuntimeError("no")

    executor = Executor.of(Fails, store=store, queue="reports")
    await executor.schedule("hourly", Fails(), Every(1800), overlap="skip")
    clock.now += 1800
    await executor.forward()
    (event,) = await events(store)
    assert event.status is S.PENDING
    assert event.attempt == 1
    clock.now += 1800
    await fire(executor)
    assert len(await events(store)) == 1


async def test_a_continuation_counts_as_part_of_the_event(store: Store, clock: Clock) -> None:
    class Crawl(Report):
        async def _invoke(self) -> Any:
            return Then(Report(team="merge"))

    executor = Executor.of(Crawl, Report, store=store, queue="reports")
    await executor.schedule("hourly", Crawl(), Every(3600), overlap="skip")
    clock.now += 3600
    await executor.forward()
    clock.now += 3600
    await fire(executor)
    assert [each.status for each in await events(store)] == [S.COMPLETED, S.PENDING]


# -- start time ------------------------------------------------------------------------------------


async def test_jitter_shifts_the_start_and_ttl_counts_from_it(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    await executor.schedule("hourly", Report(), Every(3600), jitter=600, ttl=60)
    clock.now += 3600
    await fire(executor)
    (record,) = await events(store)
    assert record.due is not None
    assert START + 3600 < record.due <= START + 4200
    assert record.payload["execution"]["expires"] == record.due + 60
    assert await instants(store) == [START + 3600]
    clock.now = record.due + 61
    await executor.forward()
    assert [each.status for each in await events(store)] == [S.CANCELLED]


async def test_the_priority_is_that_of_the_schedule(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    await executor.schedule("hourly", Report(), Every(3600), priority=-7.0)
    clock.now += 3600
    await fire(executor)
    assert [each.priority for each in await events(store)] == [-7.0]


# -- daylight saving -------------------------------------------------------------------------------


async def test_a_nightly_event_at_a_change_of_daylight_saving(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    clock.now = datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp()
    await executor.schedule("nightly", Report(), Cron("30 2 * * *", tz="Europe/Berlin"))
    for _ in range(72):
        clock.now += 1800
        await fire(executor)
    spring = [datetime(2026, 3, 29, 1, 0, tzinfo=UTC), datetime(2026, 3, 30, 0, 30, tzinfo=UTC)]
    assert [datetime.fromtimestamp(each, UTC) for each in await instants(store)] == spring[:1]
    for _ in range(12):
        clock.now += 1800
        await fire(executor)
    assert [datetime.fromtimestamp(each, UTC) for each in await instants(store)] == spring


# -- the clock -------------------------------------------------------------------------------------


async def test_a_clock_that_was_set_back(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    executor = executor_of(store)
    clock.now = START + 400 * DAY
    await executor.schedule("daily", Report(), Every(DAY))
    clock.now = START + 0.5 * DAY
    with caplog.at_level(logging.WARNING, "lionpride"):
        await fire(executor)
    assert (await executor.schedules.get("daily")).next == START + DAY
    assert "the clock was set back" in caplog.text
    assert await events(store) == []


async def test_a_clock_that_was_set_back_by_less_than_a_period_repeats_nothing(
    store: Store, clock: Clock
) -> None:
    executor = executor_of(store)
    await executor.schedule("daily", Report(), Every(DAY))
    clock.now += DAY
    await fire(executor)
    clock.now -= 3600
    await fire(executor)
    clock.now += 3600
    await fire(executor)
    assert len(await events(store)) == 1


@pytest.mark.parametrize("missed", ["last", "all"])
async def test_a_clock_that_was_set_back_and_forward_again_repeats_nothing(
    store: Store, clock: Clock, missed: Any
) -> None:
    executor = executor_of(store)
    await executor.schedule("hourly", Report(), Every(3600), missed=missed)
    for _ in range(3):
        clock.now += 3600
        await executor.forward()
    await executor.cleanup_events()  # no id is known
    for seconds in (-4.5 * 3600, 4.5 * 3600, 3600):
        clock.now += seconds
        await executor.forward()
    assert Report.ran == [START + 3600 * hour for hour in (1, 2, 3, 4)]


async def test_missed_instants_before_a_run_by_hand_have_events(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    await executor.schedule("hourly", Report(), Every(3600), missed="all")
    clock.now += 2.5 * 3600
    await executor.schedules.run("hourly")
    clock.now += 3600
    await fire(executor)
    assert sorted(await instants(store)) == [START + 3600 * n for n in (1, 2, 2.5, 3)]


# -- changes ---------------------------------------------------------------------------------------


async def test_the_same_call_has_no_effect(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    first = await executor.schedule("daily", Report(), Every(DAY), overlap="skip")
    clock.now += 3600
    again = await executor.schedule("daily", Report(), Every(DAY), overlap="skip")
    assert again == first
    assert again.version == first.version


async def test_a_changed_rule_counts_from_now_and_keeps_the_id(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    first = await executor.schedule("daily", Report(), Every(DAY))
    clock.now += 100
    changed = await executor.schedules.change("daily", Every(600), jitter=5)
    assert (changed.id, changed.next) == (first.id, START + 600)
    assert changed.schedule == Schedule(Every(600), jitter=5)


async def test_a_changed_event_keeps_the_next_instant(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    first = await executor.schedule("daily", Report(), Every(DAY, anchor=START + 50))
    clock.now += 100
    changed = await executor.schedules.change("daily", event=Report(team="b"))
    assert changed.next == first.next
    clock.now += DAY
    await fire(executor)
    assert [each.payload["team"] for each in await events(store)] == ["b"]


async def test_pause_and_resume(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    await executor.schedule("hourly", Report(), Every(3600))
    paused = await executor.schedules.pause("hourly")
    assert (paused.is_paused, paused.next) == (True, None)
    clock.now += 3 * 3600
    await fire(executor)
    resumed = await executor.schedules.resume("hourly")
    assert (resumed.is_paused, resumed.next) == (False, START + 4 * 3600)
    await fire(executor)
    assert await events(store) == []


async def test_run_appends_now(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    await executor.schedule("daily", Report(), Every(DAY))
    await executor.schedules.pause("daily")
    uid = await executor.schedules.run("daily")
    await executor.forward()
    assert Report.ran == [START]
    assert [each.id for each in await events(store)] == [uid]


async def test_events_that_are_appended_by_hand_may_start_at_once(
    store: Store, clock: Clock
) -> None:
    executor = executor_of(store)
    await executor.schedule("daily", Report(), Every(DAY), jitter=600, ttl=60)
    await executor.schedules.run("daily")
    await executor.schedules.backfill("daily", START - 2 * DAY, START - 1)
    for record in await events(store):
        assert record.due is None
        assert record.payload["execution"]["expires"] == START + 60
    await executor.forward()
    assert Report.ran == [START, START - 2 * DAY, START - DAY]


async def test_backfill_leaves_out_known_events(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    await executor.schedule("daily", Report(), Every(DAY))
    clock.now += 2 * DAY
    await fire(executor)
    ids = await executor.schedules.backfill("daily", START - DAY, clock.now)
    assert len(ids) == 3
    assert await instants(store) == [START + DAY * day for day in (2, -1, 0, 1)]
    assert await executor.schedules.backfill("daily", START - DAY, clock.now) == ()


@pytest.mark.parametrize("rule", [Every(1), Every(3.7), Cron("* * * * *")])
@pytest.mark.parametrize("start", [-62_135_596_805.0, -1e12, -1e300])
async def test_backfill_refuses_times_that_are_no_dates(rule: Any, start: float) -> None:
    executor = Executor.of(Report)
    await executor.schedule("often", Report(), rule)
    with pytest.raises(ValidationError, match="must be a time of the years 2 to 9998"):
        await executor.schedules.backfill("often", start, start)


async def test_backfill_refuses_the_future_and_too_many(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    await executor.schedule("often", Report(), Every(1))
    with pytest.raises(ValidationError, match="past times"):
        await executor.schedules.backfill("often", START, START + 1)
    with pytest.raises(ValidationError, match="more than 10,000 instants"):
        await executor.schedules.backfill("often", START - DAY, START)
    with pytest.raises(ValidationError, match="start must be a datetime with a time zone"):
        await executor.schedules.backfill("often", datetime(2026, 1, 1), START)


async def test_a_removed_schedule_has_a_new_id_later(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    first = await executor.schedule("daily", Report(), Every(DAY))
    await executor.schedules.remove("daily")
    assert await executor.schedules.list() == []
    second = await executor.schedule("daily", Report(), Every(DAY))
    assert second.id != first.id
    with pytest.raises(NotFoundError, match="has no schedule 'nightly': its schedules are daily"):
        await executor.schedules.remove("nightly")


async def test_an_exported_schedule_keeps_its_id(store: Store, clock: Clock) -> None:
    executor = executor_of(store)
    first = await executor.schedule("daily", Report(), Every(DAY), overlap="skip", ttl=9.0)
    clock.now += DAY
    await fire(executor)
    first = await executor.schedules.get("daily")
    copy = type(first).from_dict(first.to_dict())
    assert copy == first
    with pytest.raises(ExistsError, match="has a schedule 'daily' already"):
        await executor.schedules.load(copy)
    await executor.schedules.remove("daily")
    await executor.schedules.load(copy)
    assert await executor.schedules.list() == [first]


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda e: e.schedule("", Report(), Every(5)), ValidationError, "text that is not empty"),
        (lambda e: e.schedule("a", Report(), 5), ValidationError, "rule must be an Every or a"),
        (lambda e: e.schedule("a", Report(), Every(5), missed="x"), ValidationError, "missed must"),
        (lambda e: e.schedule("a", Report(), Every(5), ttl=0), ValidationError, "ttl must be"),
        (lambda e: e.schedule("a", Event(), Every(5)), TypeError, "Report"),
        (lambda e: e.schedules.change("a", colour=1), TypeError, "no option 'colour'"),
        (lambda e: e.schedules.run("a"), NotFoundError, "has no schedule 'a': it has none"),
    ],
)
async def test_bad_input_is_refused(
    store: Store, call: Callable[[Executor], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await call(executor_of(store))
    assert await store.schedules() == []


# -- declared schedules ----------------------------------------------------------------------------


def sweep(schedule: Any, default: int = 0) -> type[Event]:
    """Return a class that declares a schedule; each call is another release of it."""

    class Sweep(Event, schedules={"sweep": schedule}):
        depth: int = default

        async def _invoke(self) -> None:
            return None

    return Sweep


async def declared(store: Store, schedule: Any, default: int = 0) -> Any:
    executor = Executor.of(sweep(schedule, default), store=store, queue="reports")
    await executor.start()
    return await executor.schedules.get("sweep")


async def test_a_class_declares_its_schedules(store: Store, clock: Clock) -> None:
    record = await declared(store, Every(300))
    assert record.declared == Schedule(Every(300))
    again = await declared(store, Every(300))
    assert again.version == record.version


async def test_a_declaration_wins_with_a_higher_revision_only(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    first = await declared(store, Every(300))
    with caplog.at_level(logging.WARNING, "lionpride"):
        assert await declared(store, Every(60)) == first
    assert "give it revision=2 if it is the later one" in caplog.text
    changed = await declared(store, Schedule(Every(60), revision=2))
    assert (changed.id, changed.schedule.rule) == (first.id, Every(60))
    assert await declared(store, Every(300)) == changed


async def test_changes_by_an_operator_outlive_a_new_revision(store: Store, clock: Clock) -> None:
    await declared(store, Every(300))
    executor = executor_of(store)
    await executor.schedules.change("sweep", jitter=30)
    await executor.schedules.pause("sweep")
    record = await declared(store, Schedule(Every(60), ttl=5, revision=2), default=3)
    assert record.schedule == Schedule(Every(60), ttl=5, jitter=30, revision=2)
    assert record.is_paused
    assert record.payload["depth"] == 3


async def test_a_declared_schedule_cannot_be_replaced_by_a_call(store: Store, clock: Clock) -> None:
    await declared(store, Every(300))
    with pytest.raises(OperationError, match="schedule 'sweep' is declared by"):
        await executor_of(store).schedule("sweep", Report(), Every(5))
    with pytest.raises(OperationError, match="raise `revision`"):
        await executor_of(store).schedules.change("sweep", event=Report())


async def test_a_worker_reports_the_schedules_that_it_declares(store: Store) -> None:
    Report.gate = asyncio.Event()
    async with Executor.of(sweep(Every(300)), store=store, queue="reports"):
        (worker,) = await store.workers()
        assert worker.about is not None
        assert worker.about.schedules == ("sweep",)


def test_a_declaring_class_has_defaults_for_all_fields() -> None:
    with pytest.raises(ConfigurationError, match="give the field 'depth' a default"):

        class Deep(Event, schedules={"deep": Every(5)}):
            depth: int

    with pytest.raises(ConfigurationError, match="must be an Every, a Cron or a Schedule"):

        class Wrong(Event, schedules={"wrong": 5}):  # type: ignore[dict-item]
            pass


async def test_a_job_declares_its_schedules(store: Store, clock: Clock) -> None:
    @job(schedules={"tidy": Every(60)})
    async def tidy(depth: int = 1) -> int:
        return depth

    executor = Executor.of(tidy, store=store, queue="reports")
    await executor.start()
    clock.now += 60
    await executor.forward()
    (event,) = await executor.store.list_records()
    assert event.payload["execution"]["response"] == 1


async def test_two_classes_that_declare_one_name_are_refused(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="which share a queue: rename one of them"):
        Executor.of(sweep(Every(5)), sweep(Every(6)), store=store, queue="reports")


# -- rules that a process cannot use ---------------------------------------------------------------


async def test_a_rule_that_this_process_cannot_evaluate_is_left_to_others(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    executor = executor_of(store)
    await executor.schedule("hourly", Report(), Every(3600))
    record = await executor.schedule("nightly", Report(), Cron("30 2 * * *"))
    foreign = replace(record, schedule=Schedule(Cron.stored("30 2 * * *", "Mars/Olympus")))
    assert await store.change_schedule(record, foreign)
    clock.now += DAY
    firing = ScheduleFiring(store)
    with caplog.at_level(logging.WARNING, "lionpride"):
        await firing.fire()
        await firing.fire()
    assert caplog.text.count("schedule 'nightly' cannot be used here") == 1
    assert await instants(store) == [START + DAY]
    assert [each.name for each in await executor.schedules.list()] == ["hourly", "nightly"]


async def test_a_schedule_that_cannot_be_read_stops_no_other(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not store.is_shared:
        pytest.skip("memory keeps the records themselves")
    executor = executor_of(store)
    await executor.schedule("hourly", Report(), Every(3600))
    record = await executor.schedule("broken", Report(), Every(3600))
    of_a_later_release = {"rule": {"moon": "full"}}
    with monkeypatch.context() as patch:
        patch.setattr(Schedule, "to_dict", lambda _: of_a_later_release)
        assert await store.change_schedule(record, replace(record, version="later"))
    clock.now += 3600
    await executor.forward()
    assert Report.ran == [START + 3600]
    assert [each.unreadable is None for each in await executor.schedules.list()] == [False, True]
    with pytest.raises(ValidationError, match="or remove the schedule, and make it again"):
        await executor.schedules.pause("broken")
    await executor.schedules.remove("broken")
    assert [each.name for each in await executor.schedules.list()] == ["hourly"]


async def test_replace_keeps_the_event_before_if_the_queue_is_full(
    store: Store, clock: Clock
) -> None:
    executor = executor_of(store, max_queue_size=1)
    await executor.start()
    await executor.schedule("hourly", Report(), Every(3600), overlap="replace")
    clock.now += 3600
    await fire(executor)
    clock.now += 3600
    await fire(executor)
    assert [each.status for each in await events(store)] == [S.PENDING]
    assert (await executor.schedules.get("hourly")).skipped == (START + 7200, "the queue was full")


@pytest.mark.guard(10)
@pytest.mark.parametrize("overlap", ["queue", "replace"])
async def test_an_event_of_a_class_that_is_unknown_in_memory_is_skipped(
    clock: Clock, overlap: Any
) -> None:
    store = STORES["memory"](clock)
    executor = executor_of(store)
    Report.gate = asyncio.Event()
    async with executor:
        record = await executor.schedule("hourly", Report(wait=True), Every(3600), overlap=overlap)
        clock.now += 3600
        await fire(executor)
        while not (await store.counts())[S.PROCESSING]:
            await asyncio.sleep(0.01)
        record = await executor.schedules.get("hourly")
        await store.change_schedule(record, replace(record, kind="gone.Gone", version="2"))
        clock.now += 3600
        await fire(executor)
        record = await executor.schedules.get("hourly")
        assert record.skipped is not None
        assert "class 'gone.Gone' is not defined" in record.skipped.reason
        Report.gate.set()


class Later(ScheduleRecord):
    """A schedule with an option of a later release."""

    def to_dict(self) -> dict[str, Any]:
        data = super().to_dict()
        return {**data, "schedule": {**data["schedule"], "tomorrow": True}}


@pytest.mark.parametrize("name", ["sqlite", "postgres"])
async def test_events_run_while_a_schedule_of_a_later_release_is_stored(
    name: str, clock: Clock, opened: list[Store], caplog: pytest.LogCaptureFixture
) -> None:
    class Sweep(Event, schedules={"sweep": Every(300)}):
        async def _invoke(self) -> str:
            return "swept"

    opened.append(store := STORES[name](clock))
    record = await executor_of(store).schedule("hourly", Report(), Every(3600))
    later = Later(**{each.name: getattr(record, each.name) for each in fields(record)})
    assert await store.change_schedule(record, replace(later, version="2"))
    async with Executor.of(Sweep, store=store) as executor:
        assert await executor.run(Sweep()) == "swept"
    executor = Executor.of(Sweep, store=store)
    event = await executor.append(Sweep())
    await executor.forward()
    assert event.response == "swept"
    (hourly, _) = await executor.schedules.list()
    assert "the record of schedule 'hourly' cannot be read" in str(hourly.unreadable)
