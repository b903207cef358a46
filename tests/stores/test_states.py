"""The live Flow of what an executor holds."""

from typing import ClassVar

import pytest

from lionpride.core import Event, EventStatus, Executor, Flow, Processor, Progression
from lionpride.errors import OperationError


class Job(Event):
    n: int = 0

    async def _invoke(self) -> int:
        return self.n


class Worker(Processor):
    event_type: ClassVar[type[Event]] = Job


class Desk(Executor):
    processor_type: ClassVar[type[Processor]] = Worker


async def test_it_shows_what_is_and_reads_back_as_a_plain_flow() -> None:
    desk = Desk()
    jobs = await desk.append_many([Job(n=n) for n in range(3)])
    states = desk.states
    assert [each.name for each in states.progressions] == [status.value for status in EventStatus]
    assert list(states.items) == jobs
    assert jobs[1].id in states.get_progression("pending")
    await desk.forward()
    assert states.get_progression("completed").order == [job.id for job in jobs]
    again = Flow.from_dict(states.to_dict(mode="json"))
    assert type(again) is Flow
    assert len(again.items) == 3
    assert again.get_progression("completed").order == [job.id for job in jobs]


@pytest.mark.parametrize(
    "change",
    [
        lambda states, job: states.items.remove(job),
        lambda states, job: states.get_progression("pending").append(job),
        lambda states, job: states.remove_progression("pending"),
        lambda states, job: states.clear(),
        lambda states, job: states.add_item(Job()),
    ],
)
async def test_a_change_behind_the_executors_back_is_refused(change) -> None:  # type: ignore[no-untyped-def]
    desk = Desk()
    job = await desk.append(Job())
    with pytest.raises(OperationError):
        change(desk.states, job)
    assert desk.pending_events == [job]
    assert len(desk.states.items) == 1


async def test_a_progression_of_the_users_own_loses_what_is_removed_and_survives_a_restore() -> (
    None
):
    desk = Desk()
    one, two = await desk.append_many([Job(n=1), Job(n=2)])
    desk.states.add_progression(Progression(name="mine", order=[one, two, one]))
    await desk.remove(one)
    assert desk.states.get_progression("mine").order == [two.id]
    other = Desk()
    assert await other.load(desk.states.to_dict()) == 1
    assert other.states.get_progression("mine").order == [two.id]
