"""An executor, what may be done to it, and a ledger that sees what its events really do."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any, Literal
from uuid import UUID

from simulation.ledger import Book, standing
from simulation.noted import Noted
from simulation.setting import WEIGHTS, Setting
from simulation.tasks import (
    CREW,
    AskingExecutor,
    Crew,
    How,
    PlainExecutor,
    Stream,
    Stubborn,
    Task,
)

from lionpride.core import EventStatus, Executor
from lionpride.errors import ExistsError, NotFoundError, OperationError
from lionpride.model.execution import TERMINAL
from lionpride.rules.state_machine import RETRYABLE
from lionpride.stores.contract import ImmediatePath, Store

S = EventStatus

__all__ = ("WEIGHTS", "Office")


class Office:
    """The executor and its visitors.

    Args:
        make: Makes a store that asks this clock for the time.
        rng: Decides everything.
        kinds: The executor classes: one that asks nobody, one that asks the ledger.
    """

    def __init__(
        self,
        make: Callable[[Callable[[], float]], Store],
        rng: Random,
        kinds: tuple[type[Executor], type[Executor]] = (PlainExecutor, AskingExecutor),
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.make = make
        self.rng = rng
        self.kinds = kinds
        self.setting = Setting.drawn(rng)
        self.stores: list[Store] = []
        self.executor, self.book = self.opened()
        self.labels = 0
        self.cancelled: set[UUID] = set()
        self.late: dict[UUID, int] = {}  # of those, where it may have come too late: their runs
        self.visitors: set[asyncio.Task[Any]] = set()
        self.met: Counter[str] = Counter()
        self.trace: list[str] = []

    def opened(self) -> tuple[Executor, Book]:
        setting = self.setting
        config = {
            "concurrency_limit": setting.limit,
            "queue_capacity": setting.capacity,
            "capacity_refresh_time": setting.span,
            "denial_backoff": setting.backoff,
        }
        store: Any = self.make(self.loop.time)
        noted = None
        if setting.verbs or not isinstance(store, ImmediatePath):
            store = noted = Noted(store)
        self.stores.append(store)
        executor = self.kinds[setting.asks](config, store=store)
        bounds = setting.limit, setting.capacity, setting.span
        book = Book(executor, *bounds, slow=setting.slow, noted=noted is not None)
        if noted is not None:
            noted.book = book
        if setting.watched:
            executor.observe(book.told)
        return executor, book

    def say(self, text: str) -> None:
        self.trace.append(f"{self.loop.time():g} {text}")

    # -- picking -----------------------------------------------------------------------------

    def newcomer(self) -> Task:
        rng = self.rng
        self.labels += 1
        how: How = rng.choice(("return", "return", "return", "raise", "skip", "late"))
        lasts = rng.choice((0.0, 0.0, 0.05, 0.3, 1.0))
        kind = Stream if rng.random() < 0.2 else Task
        if rng.random() < 0.2:
            kind, how = Stubborn, rng.choice(("slip", "slip", "raise", "late"))
        return kind(
            label=self.labels,
            how=how,
            lasts=5.0 if how == "late" else lasts,
            timeout=0.4 if how == "late" else None,
            cleanup=rng.choice((0.0, 0.0, 0.2)),
            refusals=rng.choice((0, 0, 0, 1, 2, 4, 5)) if self.setting.asks else 0,
            asking=rng.choice((0.0, 0.05, 0.2)) if self.setting.slow else 0.0,
            created_at=datetime.fromtimestamp(self.loop.time(), UTC),
        )

    def someone(self, statuses: Iterable[EventStatus] = EventStatus) -> Task | None:
        fitting = [task for task in self.book.accepted.values() if task.status in statuses]
        return self.rng.choice(fitting) if fitting else None

    def visit(self, coroutine: Any) -> "asyncio.Task[Any]":
        visitor = self.loop.create_task(coroutine)
        self.visitors.add(visitor)
        return visitor

    # -- what may be done --------------------------------------------------------------------

    async def append(self) -> None:
        book, rng = self.book, self.rng
        tasks = [self.newcomer() for _ in range(rng.choice((1, 1, 2, 5)))]
        priorities = [rng.choice((None, 0.0, 1.0, 1.0, 2.0, -3.5)) for _ in tasks]
        for task, priority in zip(tasks, priorities, strict=True):
            book.accepted[task.id] = task
            default = task.created_timestamp
            book.priorities[task.id] = default if priority is None else priority
        self.say(f"append {[(task.label, task.how) for task in tasks]} at {priorities}")
        with self.moving(tasks):
            if len(tasks) == 1:
                assert await self.executor.append(tasks[0], priorities[0]) is tasks[0]
            else:
                assert await self.executor.append_many(tasks, priorities) == tasks

    @contextmanager
    def moving(self, tasks: Iterable[Task]) -> Iterator[None]:
        """These are being taken in or let go of: they may be here already, or still."""
        self.book.moving = {task.id for task in tasks}
        yield
        self.book.moving = set()

    async def append_again(self) -> None:
        task = self.someone()
        if task is None:
            return
        self.say(f"append {task.label} again ({task.status})")
        try:
            await self.executor.append(task)
        except (ExistsError, OperationError):
            pass
        else:
            self.book.demand(False, f"A1: {task.label} was accepted twice")
        if task.status is S.PENDING:
            assert await self.executor.append(task, 9.0, exist_ok=True) is task

    async def run(self, kind: Literal["execute", "forward"]) -> None:
        """A call of ``execute()`` or ``forward()``, from its beginning to its end."""
        book = self.book
        if self.executor.processor is None:
            await self.executor.start()
        processor = self.executor.processor
        assert processor is not None
        caller = asyncio.current_task()
        assert caller is not None
        noted = isinstance(self.executor.store, Noted)  # it tells the crew what the round is told
        until = 0 if noted else await self.executor.store.last_arrival()
        crew = Crew(book, kind, until, caller)
        CREW.set(crew)
        book.crews.add(crew)
        try:
            if kind == "forward":
                await self.executor.forward()
            else:
                await processor.execute()
        finally:
            crew.closed = True
            book.demand(crew not in book.active.values(), f"{kind}() ended, its events run on")

    async def execute(self) -> None:
        if sum(1 for crew in self.book.crews if not crew.closed) < 4:
            self.say("execute()")
            self.visit(self.run("execute"))

    async def forward(self) -> None:
        self.say("forward()")
        visitor = self.visit(self.run("forward"))
        if self.rng.random() < 0.3:
            await asyncio.wait([visitor])
            self.say("... forward() has ended")

    async def stop(self) -> None:
        self.say("stop()")
        await self.executor.stop()
        if self.executor.processor is not None:
            for crew in self.book.crews:
                crew.closed = True

    async def start(self) -> None:
        self.say("start()")
        await self.executor.start()

    async def interrupt(self) -> None:
        """Cancel a call of execute() or forward() from outside, or any other visitor."""
        alive = [visitor for visitor in self.visitors if not visitor.done()]
        if not alive:
            return
        visitor = self.rng.choice(sorted(alive, key=lambda each: int(each.get_name()[5:])))
        self.say(f"a visitor is cancelled: {visitor.get_coro().__name__}")  # type: ignore[union-attr]
        visitor.cancel()
        if self.rng.random() < 0.4:
            await asyncio.sleep(0)  # what it ran is cleaning up
            await self.cancel()
        elif self.rng.random() < 0.7:
            await asyncio.wait([visitor])

    async def cancel(self, task: Task | None = None) -> None:
        running = self.rng.random() < 0.4 and self.someone([S.PROCESSING])
        task = task or running or self.someone()
        if task is None:
            return
        before, runs = task.status, task.id in self.book.active
        self.say(f"cancel {task.label} ({before})")
        if await self.executor.cancel(task):
            self.book.demand(before not in TERMINAL, f"{task.label} had ended, and is cancelled")
            self.cancelled.add(task.id)
            if self.book.noted and before is S.PROCESSING and not runs:
                self.late[task.id] = self.book.runs(task)
        else:
            ended = task.status in TERMINAL or (
                task.status is S.PROCESSING and task.id not in self.book.active
            )
            self.book.demand(ended, f"{task.label} is {task.status}, and is not cancelled")

    async def again(self) -> None:
        """Cancel what runs, and send it back while the round that ran it may go on."""
        task = self.someone([S.PROCESSING])
        if task is not None:
            await self.cancel(task)
            await asyncio.sleep(0.25)
            if task.status in TERMINAL and task.id in self.book.accepted:
                await self.retry(task)

    async def retry(self, task: Task | None = None) -> None:
        aborted = self.rng.random() < 0.5 and self.someone([S.ABORTED])
        task = task or aborted or self.someone(TERMINAL)
        if task is None:
            return
        before = task.status
        self.say(f"retry {task.label} ({before})")
        self.book.in_a_row[task.id] = 0
        try:
            await self.executor.retry(task)
        except OperationError:
            self.book.demand(before not in RETRYABLE, f"{before} can be retried")
        else:
            self.book.demand(before in RETRYABLE, f"S3: {before} was retried")
            self.cancelled.discard(task.id)
            self.late.pop(task.id, None)

    async def remove(self) -> None:
        task = self.someone()
        if task is None:
            return
        self.say(f"remove {task.label} ({task.status})")
        (record,) = await self.executor.store.get([task.id])
        del self.book.accepted[task.id]
        try:
            with self.moving([task]):
                await self.executor.remove(task)
        except OperationError:
            self.book.accepted[task.id] = task
            (now,) = await self.executor.store.get([task.id])
            claimed = any(one is not None and one.status is S.PROCESSING for one in (record, now))
            came = record is not None and now is not None and now.attempt > record.attempt
            self.book.demand(claimed or came, f"{task.label} is free and cannot be removed")
        else:
            self.book.shown.pop(task.id, None)

    async def cleanup(self) -> None:
        statuses = self.rng.sample(sorted(TERMINAL), self.rng.randint(1, 3))
        self.say(f"cleanup {statuses}")
        accepted = self.book.accepted
        wanted = {uid for uid, task in accepted.items() if task.status in statuses}
        with self.moving(accepted.values()):
            count = await self.executor.cleanup_events(statuses)
        gone = [task for task in accepted.values() if task not in self.executor.states.items]
        for task in gone:
            del accepted[task.id]
        self.book.demand(count == len(gone), f"cleaned up {count}, not {len(gone)}")
        late = {task.id for task in gone if task.status in statuses}  # ended meanwhile
        self.book.demand(wanted <= late and len(late) == count, "cleaned up others than was asked")

    async def wait_for(self) -> None:
        task = self.someone()
        if task is not None:
            self.visit(self._result(task))

    async def _result(self, task: Task) -> None:
        try:
            response = await self.executor.result(task)
        except NotFoundError:
            removed = task.id not in self.book.accepted
            self.book.demand(removed, f"{task.label} is here, and result() says not")
            return
        except Exception:
            response = None
        settled = task.status in TERMINAL
        self.book.demand(settled, f"result() woke while {task.label} is {task.status}")
        if task.status is S.COMPLETED:
            self.book.demand(response == task.response, f"result() gave {response}")

    async def join(self) -> None:
        self.visit(self._join())

    async def _join(self) -> None:
        try:
            await self.executor.join()
        except OperationError:
            return
        counts = await self.executor.store.counts()
        self.book.demand(
            not counts[S.PENDING] and not counts[S.PROCESSING], f"join() returned at {counts}"
        )

    async def sleep(self) -> None:
        seconds = self.rng.choice((0.0, 0.0, 0.01, 0.1, 0.3, 1.0, 2.5))
        self.say(f"sleep {seconds}")
        await asyncio.sleep(seconds)

    # -- writing down and reading back -------------------------------------------------------

    async def restored(self) -> tuple[Executor, Book]:
        """A fresh executor that has read what this one wrote down."""
        mode: Any = self.rng.choice(("python", "json"))
        data = self.executor.states.to_dict(mode)
        if mode == "json":
            data = json.loads(json.dumps(data))
        stood = {uid: standing(task) for uid, task in self.book.accepted.items()}
        executor, book = self.opened()
        book.accepted = dict(self.book.accepted)  # the ids; the events come below
        book.moving = set(stood)
        assert await executor.load(data) == len(stood)
        book.moving = set()
        for event in executor.states.items:
            assert isinstance(event, Task)
            book.accepted[event.id] = event
            was, now = stood[event.id], standing(event)
            if was["status"] is S.PROCESSING:
                was["status"], was["interruptions"] = S.PENDING, was["interruptions"] + 1  # type: ignore[operator]
            for name, before in was.items():
                text = f"D3: {name} of {event.label} is {now[name]}, was {before}"
                book.demand(now[name] == before, text)
        book.priorities = dict(self.book.priorities)
        book.refused, book.in_a_row = dict(self.book.refused), dict(self.book.in_a_row)
        book.agree()
        return executor, book

    async def peek(self) -> None:
        self.say("write it down")
        _, book = await self.restored()
        self.book.faults += book.faults

    async def move(self) -> None:
        """Go on in a new executor, as after a restart."""
        self.say("restart")
        await self.leave()
        faults = self.book.faults
        self.executor, self.book = await self.restored()
        self.book.faults += faults

    async def leave(self) -> None:
        """Send everybody home."""
        for visitor in self.visitors:
            visitor.cancel()
        if self.visitors:
            await asyncio.wait(self.visitors)
        for visitor in self.visitors:
            if not visitor.cancelled():
                visitor.result()
        self.visitors.clear()
        self.book.at_rest()

    # -- to the end --------------------------------------------------------------------------

    async def drain(self) -> None:
        """Run what is left; nothing may be lost, and everything must end as it was to end."""
        self.say("drain")
        await self.executor.start()
        self.visit(self.run("execute"))
        await asyncio.sleep(0)
        await self._join()
        book = self.book
        for task in book.accepted.values():
            # Its code had ended, and what came of it may have been on its way: not so another run.
            late = self.late.get(task.id) == book.runs(task) and task.status is not S.CANCELLED
            book.ended_as_planned(task, task.id in self.cancelled and not late)
        await self.stop()
        await asyncio.wait(self.visitors)
        await self.leave()
