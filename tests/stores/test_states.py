"""The live Flow of what a store holds: it shows what is, and cannot be changed behind its back."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from stores.asking import bring, claim, claim_one, put, settle
from stores.makers import Job

from lionpride.core import Event, Executor, Processor
from lionpride.errors import ExistsError, NotFoundError, OperationError
from lionpride.model.collections.flow import Flow
from lionpride.model.collections.pile import Pile
from lionpride.model.collections.progression import Progression
from lionpride.model.element import Element
from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.rules.state_machine import Completion
from lionpride.stores.contract import Store
from lionpride.stores.states import Events, States

S = EventStatus


class Task(Event):
    """For the one question that only an executor answers."""


class TaskProcessor(Processor):
    event_type: ClassVar[type[Event]] = Task


class Desk(Executor):
    processor_type: ClassVar[type[Processor]] = TaskProcessor


def lists(states: States) -> dict[str | None, list[Any]]:
    return {each.name: each.order for each in states.progressions}


# -- live ------------------------------------------------------------------------------------------


async def test_there_is_a_progression_for_each_status_from_the_beginning(store: Store) -> None:
    states = store.states
    assert [each.name for each in states.progressions] == [status.value for status in EventStatus]
    assert not any(states.progressions)
    assert not states.items


async def test_its_views_follow_the_store(store: Store) -> None:
    items, pending = store.states.items, store.states.get_progression("pending")
    done, events = store.states.get_progression("completed"), Events(store.states, S.COMPLETED)
    first, second = await put(store, 2.0, 1.0)
    assert list(items) == [first, second], "in order of arrival"
    assert pending.order == [first.id, second.id]
    for one in await claim(store, 2, start=True):
        await settle(store, one, Completion(1, 0.0))
    assert pending.order == []
    assert done.order == [second.id, first.id], "in the order they ended"
    assert events == [second, first]
    await store.remove([first])
    assert list(items) == [second]
    assert done.order == [second.id]
    assert len(events) == 1


async def test_a_view_answers_all_that_a_flow_answers(store: Store) -> None:
    first, second, third = await put(store, 1.0, 1.0, 1.0)
    states, pending = store.states, store.states.get_progression("pending")
    assert states.items[first.id] is first
    assert states.items[str(second.id)] is second
    assert states.items[-1] is third
    assert first in states.items
    assert Job() not in states.items
    assert list(states.items.keys()) == [first.id, second.id, third.id]
    assert list(states.items[[first.id, third.id]]) == [first, third]
    assert list(states.items[pending]) == [first, second, third]
    with pytest.raises(NotFoundError):
        states.items.get(Job().id)
    assert (pending[0], pending[-1], pending[1:]) == (first.id, third.id, [second.id, third.id])
    assert pending.index(second) == 1
    assert second in pending
    assert Job() not in pending
    assert list(reversed(pending)) == [third.id, second.id, first.id]


async def test_what_was_selected_of_it_is_a_pile_of_its_own(store: Store) -> None:
    first, second = await put(store, 1.0, 1.0)
    some: Pile[Any] = store.states.items[:1]
    some.add(second)
    some.remove(first)
    assert list(store.states.items) == [first, second]


async def test_walking_over_a_view_takes_what_was_there_when_it_began(store: Store) -> None:
    jobs = await put(store, 1.0, 1.0, 1.0)
    seen = []
    for job in Events(store.states, S.PENDING):
        seen.append(job)
        await store.remove([job])
    assert seen == jobs
    for _ in store.states.items:
        raise AssertionError("they are gone")


# -- what is refused -------------------------------------------------------------------------------

ITEMS: dict[str, Callable[[Any, Job], Any]] = {
    "add": lambda items, job: items.add(Job()),
    "add what is here": lambda items, job: items.add(job),
    "update": lambda items, job: items.update(job),
    "remove": lambda items, job: items.remove(job),
    "pop": lambda items, job: items.pop(job.id),
    "pop with a default": lambda items, job: items.pop(Job().id, None),
    "include": lambda items, job: items.include(Job()),
    "exclude": lambda items, job: items.exclude(job),
    "clear": lambda items, job: items.clear(),
}

PROGRESSION: dict[str, Callable[[Any, Job], Any]] = {
    "append": lambda ids, job: ids.append(job),
    "extend": lambda ids, job: ids.extend([job]),
    "insert": lambda ids, job: ids.insert(0, job),
    "set": lambda ids, job: ids.__setitem__(0, job),
    "set a slice": lambda ids, job: ids.__setitem__(slice(0, 1), [job]),
    "remove": lambda ids, job: ids.remove(job),
    "pop": lambda ids, job: ids.pop(),
    "popleft": lambda ids, job: ids.popleft(),
    "clear": lambda ids, job: ids.clear(),
    "reverse": lambda ids, job: ids.reverse(),
    "move": lambda ids, job: ids.move(0, 1),
    "swap": lambda ids, job: ids.swap(0, 1),
    "include": lambda ids, job: ids.include(Job()),
    "exclude": lambda ids, job: ids.exclude(job),
    "order": lambda ids, job: setattr(ids, "order", []),
}

STATES: dict[str, Callable[[Any, Job], Any]] = {
    "add_item": lambda states, job: states.add_item(Job()),
    "add_item to a list": lambda states, job: states.add_item(Job(), "pending"),
    "remove_item": lambda states, job: states.remove_item(job),
    "remove_progression": lambda states, job: states.remove_progression("pending"),
    "remove_progression of an empty one": lambda states, job: states.remove_progression("failed"),
    "clear": lambda states, job: states.clear(),
    "clear the progressions": lambda states, job: states.progressions.clear(),
    "pop a progression": lambda states, job: states.progressions.pop(
        states.get_progression("pending")
    ),
}


@pytest.mark.parametrize(
    ("of", "change"),
    [
        *(pytest.param("items", each, id=f"items: {name}") for name, each in ITEMS.items()),
        *(pytest.param("pending", each, id=f"list: {name}") for name, each in PROGRESSION.items()),
        *(pytest.param("", each, id=name) for name, each in STATES.items()),
    ],
)
async def test_a_change_behind_its_back_is_refused_and_says_what_to_do(
    store: Store, of: str, change: Callable[[Any, Job], Any]
) -> None:
    job, _ = await put(store, 1.0, 1.0)
    states = store.states
    view = states.items if of == "items" else states.get_progression(of) if of else states
    before = lists(states), list(states.items)
    with pytest.raises(OperationError, match=r"executor"):
        change(view, job)
    assert (lists(states), list(states.items)) == before


# -- progressions of the user's own ----------------------------------------------------------------


async def test_a_progression_of_the_users_own_stands_beside_the_seven(store: Store) -> None:
    job, other = await put(store, 1.0, 1.0)
    mine: Progression = Progression(name="mine", order=[job, other, job])
    store.states.add_progression(mine)
    assert store.states.get_progression("mine") is mine
    mine.append(other)
    assert lists(store.states)["mine"] == [job.id, other.id, job.id, other.id]
    assert len(store.states.to_dict()["progressions"]) == len(EventStatus) + 1
    await store.remove([job])
    assert mine.order == [other.id, other.id], "what is gone is gone from every list"
    assert store.states.remove_progression("mine") is mine
    assert list(store.states.items) == [other], "its events stay"


async def test_what_is_pruned_leaves_the_users_own_progressions(store: Store) -> None:
    job = await bring(store, S.COMPLETED)
    mine: Progression = Progression(name="mine", order=[job])
    store.states.add_progression(mine)
    await store.prune(TERMINAL)
    assert mine.order == []


async def test_a_progression_must_fit_what_is_here(store: Store) -> None:
    with pytest.raises(ExistsError):
        store.states.add_progression(Progression(name="pending"))
    with pytest.raises(NotFoundError):
        store.states.add_progression(Progression(name="mine", order=[Job().id]))
    assert len(store.states.progressions) == len(EventStatus)


# -- plain data ------------------------------------------------------------------------------------


async def test_it_reads_back_as_a_plain_flow_that_may_be_changed(store: Store) -> None:
    for status in EventStatus:
        await bring(store, status)
    for mode in ("python", "json"):
        data = store.states.to_dict(mode)
        assert (len(data["items"]), len(data["progressions"])) == (7, 7)
        if mode == "json":
            data = json.loads(json.dumps(data))
        flow: Any = Flow.from_dict(data)
        assert type(flow) is Flow
        assert type(flow.get_progression("pending")) is Progression
        assert type(flow.items) is Pile
        assert {each.name: each.order for each in flow.progressions} == lists(store.states)
        for status in EventStatus:
            (uid,) = flow.get_progression(status.value).order
            assert flow.items[uid].status is status
            assert flow.items[uid].execution.arrival is None, "nobody holds it"
        flow.clear()
    assert len(store.states.items) == 7
    assert type(Element.from_dict(store.states.to_dict())) is Flow


def through_pickle(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda job: pickle.loads(pickle.dumps(job))])
async def test_a_copy_of_what_it_holds_is_nobodys(
    store: Store, copied: Callable[[Job], Job]
) -> None:
    job = await bring(store, S.FAILED)
    other = copied(job)
    assert other == job
    assert other.execution.arrival is None
    other.status = S.PENDING
    assert job.status is S.FAILED


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, through_pickle, States.model_copy])
async def test_a_copy_of_the_states_is_a_plain_flow(
    store: Store, way: Callable[[States], Flow[Any, Any]]
) -> None:
    done, waits = await bring(store, S.COMPLETED), await bring(store, S.PENDING)
    store.states.add_progression(Progression(name="mine", order=[done]))
    flow = way(store.states)
    assert type(flow) is Flow
    assert flow == store.states
    assert flow.to_dict("json") == store.states.to_dict("json")
    await store.cancel([waits])
    assert waits.id in flow.get_progression("pending"), "it stays as it was"
    assert waits.id not in store.states.get_progression("pending")
    assert list(flow.get_progression("mine")) == [done.id]
    if way in (copy.deepcopy, through_pickle):
        assert all(job.execution.arrival is None for job in flow.items), "nobody holds them"


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, through_pickle])
async def test_a_copy_of_a_status_progression_is_a_plain_one(
    store: Store, way: Callable[[Progression], Progression]
) -> None:
    job = await bring(store, S.PENDING)
    live = store.states.get_progression("pending")
    copied = way(live)
    assert type(copied) is Progression
    assert copied == live
    await store.cancel([job])
    assert (list(copied), list(live)) == ([job.id], [])


async def test_a_status_progression_keeps_its_name_and_its_place(store: Store) -> None:
    live = store.states.get_progression("pending")
    with pytest.raises(OperationError):
        live.name = "mine"
    with pytest.raises(OperationError):
        store.states.progressions.update(Progression(id=live.id, name="mine"))
    job = await bring(store, S.PENDING)
    assert store.states.get_progression("pending").order == [job.id]


# -- the lists by status ---------------------------------------------------------------------------


async def test_a_list_is_equal_to_a_list_of_the_same_events(store: Store) -> None:
    jobs = await put(store, 1.0, 1.0, 1.0)
    events = Events(store.states, S.PENDING)
    assert events == jobs
    assert events == tuple(jobs)
    assert events == Events(store.states, S.PENDING)
    assert events != jobs[:2]
    assert events != list(reversed(jobs))
    assert events != set(jobs)
    assert repr(events) == repr(jobs)
    assert (events[0], events[-1], events[1:]) == (jobs[0], jobs[-1], jobs[1:])
    assert list(reversed(events)) == jobs[::-1]
    assert (events.index(jobs[1]), events.count(jobs[1])) == (1, 1)
    with pytest.raises(IndexError):
        events[3]
    with pytest.raises(TypeError):
        hash(events)
    for change in ("append", "remove", "clear", "__setitem__", "__delitem__"):
        assert not hasattr(events, change)


async def test_a_list_knows_its_events_and_their_copies(store: Store) -> None:
    (job,) = await put(store, 1.0)
    pending, processing = Events(store.states, S.PENDING), Events(store.states, S.PROCESSING)
    assert job in pending
    assert copy.deepcopy(job) in pending, "by id, as a list compares"
    assert job not in processing
    assert "something else" not in pending
    await claim_one(store, start=True)
    assert job in processing
    assert job not in pending


async def test_a_list_is_true_if_it_holds_something(store: Store) -> None:
    events = Events(store.states, S.PENDING)
    assert not events
    await put(store, 1.0)
    assert events


# -- finding ---------------------------------------------------------------------------------------


async def test_an_event_is_found_by_its_id_however_many_came_and_went(store: Store) -> None:
    jobs = await put(store, *[1.0] * 20)
    assert store.states.find(jobs[7].id) is jobs[7]
    await store.remove(jobs[5:10])
    later = await put(store, *[1.0] * 5)
    await store.remove(later[:2])
    assert [store.states.find(job.id) for job in jobs[5:10]] == [None] * 5
    left = [*jobs[:5], *jobs[10:], *later[2:]]
    assert [store.states.find(job.id) for job in left] == left
    assert list(store.states.items) == left


async def test_it_knows_what_it_holds_and_what_another_holds(make: Callable[[], Store]) -> None:
    one, other = make(), make()
    (mine,), (theirs,) = await put(one, 1.0), await put(other, 1.0)
    assert one.states.knows(mine)
    assert one.states.knows(copy.deepcopy(mine)), "one with its id"
    assert one.states.knows(theirs), "it is held elsewhere"
    assert not one.states.knows(Job())
    assert not one.states.knows(copy.deepcopy(theirs))


async def test_lists_are_right_after_most_has_left_them(store: Store) -> None:
    """Dicts that were large are made anew when they are walked; nothing else may tell."""
    jobs = await put(store, *[1.0] * 2_000)
    await store.cancel(jobs[:1_990])
    await store.prune(TERMINAL)
    pending = Events(store.states, S.PENDING)
    for _ in range(2):
        assert pending == jobs[1_990:]
        assert list(store.states.items) == jobs[1_990:]
        assert store.states.get_progression("pending").order == [job.id for job in jobs[1_990:]]
    (late,) = await put(store, 0.0)
    assert [event for event, _ in await claim(store, 2)] == [late, jobs[1_990]]
    assert list(pending) == [*jobs[1_990:], late]
    assert store.states.find(jobs[0].id) is None


async def test_the_users_own_progressions_survive_a_restore() -> None:
    first, second = Desk(), Desk()
    one, two = await first.append_many([Task(), Task()])
    first.states.add_progression(Progression(name="mine", order=[one, two, one]))
    await first.remove(one)
    assert await second.load(first.states.to_dict("json")) == 1
    assert second.states.get_progression("mine").order == [two.id]
