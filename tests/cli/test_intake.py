"""Lines become events of an executor: all that can, in order, however little room there is."""

import asyncio
import json
from uuid import UUID

import pytest

from lionpride.cli.batch.intake import Intake
from lionpride.cli.batch.lines import LineReader
from lionpride.cli.output.statistics import Statistics
from lionpride.core import Event, Executor, Processor


class Work(Event):
    name: str = ""

    async def _invoke(self):
        return self.name


class WorkProcessor(Processor):
    event_type = Work


class WorkExecutor(Executor):
    processor_type = WorkProcessor


class Batches:
    """A source of lines that the test has written, in batches; an error ends it."""

    name = "made up"
    whole = True

    def __init__(self, *batches) -> None:
        self.batches = batches

    async def lines(self):
        number = 0
        for batch in self.batches:
            if isinstance(batch, OSError):
                raise batch
            lines = [line if isinstance(line, str) else json.dumps(line) for line in batch]
            yield [(number + i, line.encode()) for i, line in enumerate(lines, 1) if line]
            number += len(lines)
            await asyncio.sleep(0)


class Desk:
    """An executor, what feeds it, and what that complains of."""

    def __init__(self, **settings) -> None:
        self.executor = WorkExecutor(settings)
        self.lines: dict[UUID, int] = {}
        self.statistics = Statistics(self.lines)
        self.executor.observe(self.statistics)
        self.complaints: list[str] = []
        self.intake = Intake(
            self.executor,
            LineReader(Work),
            self.lines,
            lambda error: self.complaints.append(str(error)),
            self.statistics.room,
        )

    def pending(self) -> list[int]:
        return [self.lines[event.id] for event in self.executor.pending_events]

    def flags(self) -> str:
        names = ("begun", "full", "ended")
        return " ".join(name for name in names if getattr(self.intake, name).is_set())


def an_id(number: int) -> str:
    return str(UUID(int=number))


async def test_lines_that_ask_for_more_are_taken_in_on_those_terms_and_in_order():
    desk = Desk()
    lines = [
        {"name": "a"},
        {"name": "b", "delay": 60},
        {"name": "c", "unique": "x"},
        {"name": "d", "unique": "x"},
        {"name": "e", "ttl": 5, "priority": 1},
        {"name": "f"},
    ]
    await desk.intake.feed(Batches(lines))
    events = list(desk.executor.states.items)
    assert [event.name for event in events] == ["a", "b", "c", "e", "f"]  # type: ignore[attr-defined]
    assert [desk.lines[event.id] for event in events] == [1, 2, 3, 5, 6]
    b, c, e = events[1:4]
    assert b.execution.due is not None
    assert c.execution.unique[0] == "x"
    assert (e.execution.expires is not None, e.execution.priority) == (True, 1.0)
    assert (desk.intake.twice, desk.intake.bad, desk.complaints) == (1, 0, [])


async def test_a_line_on_terms_waits_for_room_as_any():
    desk = Desk(max_queue_size=1)
    feeding = asyncio.create_task(
        desk.intake.feed(Batches([{"name": "a"}, {"name": "b", "ttl": 9}]))
    )
    await desk.intake.full.wait()
    await desk.executor.forward()
    await feeding
    assert [event.name for event in desk.executor.pending_events] == ["b"]


async def test_every_line_becomes_a_pending_event_with_its_priority():
    desk = Desk(concurrency_limit=1)
    assert desk.flags() == ""
    await desk.intake.feed(Batches([{"name": "a", "priority": 3}, {"name": "b", "priority": 1}]))
    assert (desk.flags(), desk.intake.complete) == ("begun ended", True)
    assert (desk.intake.bad, desk.intake.last) == (0, 2)
    assert [(e.name, e.execution.priority) for e in desk.executor.pending_events] == [
        ("a", 3.0),
        ("b", 1.0),
    ]
    await desk.executor.forward()
    assert [event.name for event in desk.executor.completed_events] == ["b", "a"]


async def test_lines_without_a_priority_keep_their_order():
    desk = Desk(concurrency_limit=1)
    names = [f"n{i}" for i in range(250)]
    await desk.intake.feed(
        Batches(*([{"name": n} for n in names[i : i + 50]] for i in range(0, 250, 50)))
    )
    await desk.executor.forward()
    assert [event.name for event in desk.executor.completed_events] == names


async def test_what_is_no_event_is_complained_of_and_the_rest_is_taken():
    desk = Desk()
    await desk.intake.feed(Batches([{}, "oops", {"nmae": 1}], ["[]"], [{}]))
    assert [text.split(":")[0] for text in desk.complaints] == ["line 2", "line 3", "line 4"]
    assert desk.pending() == [1, 5]
    assert (desk.intake.bad, desk.intake.last, desk.intake.complete) == (3, 5, True)


async def test_blank_lines_are_counted():
    desk = Desk()
    await desk.intake.feed(Batches([{}, "", "", {}], ["", "oops", ""]))
    assert desk.pending() == [1, 4]
    assert desk.intake.last == 6
    assert desk.complaints[0].startswith("line 6: ")


async def test_only_bad_lines_begin_nothing():
    desk = Desk()
    await desk.intake.feed(Batches(["oops"]))
    assert (desk.flags(), desk.intake.bad, desk.intake.last) == ("ended", 1, 1)


async def test_nothing_at_all_ends_at_once():
    desk = Desk()
    await desk.intake.feed(Batches())
    assert (desk.flags(), desk.intake.last, desk.intake.complete) == ("ended", 0, True)


@pytest.mark.parametrize("settled", [False, True])
async def test_an_id_that_came_before_is_refused_with_both_lines(settled):
    desk = Desk()
    await desk.intake.feed(Batches([{"id": an_id(1)}, {}]))
    if settled:
        await desk.executor.forward()
    await desk.intake.feed(Batches([{}, {}, {"id": an_id(1)}]))
    assert desk.complaints == [f"line 3: id: {an_id(1)} is the id of line 1 too"]
    assert len(desk.executor.states.items) == 4


async def test_a_line_of_which_the_id_was_refused_leaves_its_id_free():
    desk = Desk()
    await desk.intake.feed(Batches([{"id": an_id(1), "nmae": 1}, {"id": an_id(1)}]))
    assert desk.pending() == [2]


async def test_an_id_that_the_executor_knows_is_refused_alone():
    desk = Desk()
    await desk.executor.append(Work(id=an_id(7)))
    await desk.intake.feed(Batches([{"id": an_id(i)} for i in range(1, 21)]))
    assert len(desk.complaints) == desk.intake.bad == 1
    assert desk.complaints[0].startswith("line 7: id: ")
    assert UUID(int=7) not in desk.lines
    assert [desk.lines.get(e.id) for e in desk.executor.pending_events] == [
        None,
        *(n for n in range(1, 21) if n != 7),
    ]


@pytest.mark.parametrize("room", [1, 7])
async def test_a_full_queue_is_filled_and_refilled_as_room_is_made(room):
    desk = Desk(max_queue_size=room, concurrency_limit=2)
    feeding = asyncio.create_task(desk.intake.feed(Batches([{"name": str(i)} for i in range(40)])))
    await desk.intake.full.wait()
    assert desk.pending() == list(range(1, room + 1))
    assert not feeding.done()
    async with desk.executor:
        await feeding
        await desk.executor.join()
    assert (desk.complaints, desk.intake.complete) == ([], True)
    assert [event.name for event in desk.executor.completed_events] == [str(i) for i in range(40)]


async def test_input_that_breaks_off_is_not_complete():
    desk = Desk()
    with pytest.raises(OSError, match="gone"):
        await desk.intake.feed(Batches([{}, {}], OSError("gone")))
    assert (desk.flags(), desk.intake.complete, desk.intake.last) == ("begun ended", False, 2)
    assert desk.pending() == [1, 2]


async def test_a_feed_that_is_given_up_has_ended():
    desk = Desk(max_queue_size=1)
    feeding = asyncio.create_task(desk.intake.feed(Batches([{}, {}])))
    await desk.intake.full.wait()
    feeding.cancel()
    await asyncio.wait([feeding])
    assert (desk.flags(), desk.intake.complete) == ("begun full ended", False)


class BesideAnotherRun:
    """What a run over a store knows: nothing at first, and all once another has appended it."""

    def __init__(self, executor) -> None:
        self.executor = executor
        self.asked = 0

    async def prepare(self):
        pass

    async def without_known(self, entries):
        self.asked += 1
        if self.asked == 1:  # another process is quicker than what follows
            await self.executor.append_many([Work(id=entry[1].id) for entry in entries])
            return entries
        return []


async def test_what_another_run_has_appended_meanwhile_is_left_to_it():
    desk = Desk()
    known = BesideAnotherRun(desk.executor)
    arguments = desk.executor, LineReader(Work), desk.lines, desk.complaints.append
    intake = Intake(*arguments, desk.statistics.room, known)
    await intake.feed(Batches([{"name": "a"}, {"name": "b"}, {"name": "c"}]))
    assert desk.complaints == []
    assert intake.bad == 0
    assert known.asked == 2
    assert len(desk.executor.pending_events) == 3
