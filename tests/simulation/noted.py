"""A store between an executor and a ledger that judges its claims.

Where the verbs of a store suspend, a start comes some turns of the loop after its claim, and the
order is decided at the claim (decision 2): by what waited when it was asked for.
"""

from collections import Counter
from collections.abc import Awaitable, Collection, Iterable
from typing import Any
from uuid import UUID

from simulation.ledger import Book
from simulation.tasks import CREW, Task
from simulation.wrapped import Wrapped

from lionpride.model.execution import EventStatus
from lionpride.stores.contract import Claim, Store


class Noted(Wrapped):
    """Passes everything on, and has a ledger note what is claimed.

    Attributes:
        book: The ledger.
        touched: How often something has been done to an event.
        leaving: How much is done to an event just now: until that is answered, nobody knows
            whether a claim finds it.
    """

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.book: Book
        self.touched: Counter[UUID] = Counter()
        self.leaving: Counter[UUID] = Counter()

    async def claim(self, worker: str, n: int = 1, **how: Any) -> tuple[list[Claim], float | None]:
        asked = self._waiting(**how)
        claims, wait = await self.inner.claim(worker, n, **how)
        self._judge(asked, claims)
        return claims, wait

    async def last_arrival(self) -> int:
        number = await self.inner.last_arrival()
        crew = CREW.get(None)
        if crew is not None:
            crew.until = number
        return number

    async def settle(self, settlements: Any) -> Any:
        ids = [task.id for task, _, _ in settlements]
        for uid in ids:
            self.book.claimed.pop(uid, None)
        return await self._with(ids, self.inner.settle(settlements))

    async def cancel(self, events: Any, **how: Any) -> Any:
        return await self._with([event.id for event in events], self.inner.cancel(events, **how))

    async def retry(self, events: Any, **how: Any) -> Any:
        return await self._with([event.id for event in events], self.inner.retry(events, **how))

    async def remove(self, events: Any) -> Any:
        return await self._with([event.id for event in events], self.inner.remove(events))

    async def _with(self, ids: list[UUID], asked: Awaitable[Any]) -> Any:
        self._touch(ids)
        self.leaving.update(ids)
        try:
            return await asked
        finally:
            self.leaving.subtract(ids)
            self._touch(ids)

    def _touch(self, ids: Iterable[UUID]) -> None:
        """Something has been done to these: a claim under way may have found them or not."""
        self.touched.update(ids)

    def _waiting(
        self,
        until: int | None = None,
        skip: Collection[int] = (),
        denied: bool = False,
        **_: Any,
    ) -> list[tuple[Task, int]]:
        """What a claim may take now, and how often something has been done to it."""
        book, found = self.book, list[tuple[Task, int]]()
        for task in book.executor.pending_events:
            state = task.execution
            is_due = state.due is None or state.due <= book.now()
            number = state.arrival or 0
            is_its = (until is None or number <= until) and number not in skip
            is_here = task.id not in book.claimed and not self.leaving[task.id]
            if is_its and (is_due or (denied and state.denials)) and is_here:
                found.append((task, self.touched[task.id]))
        return found

    def _judge(self, asked: list[tuple[Task, int]], claims: list[Claim]) -> None:
        """P1: a claim leaves out nothing that waited, and waits still, with a smaller key."""
        book = self.book
        for task, _ in claims:
            book.claimed[task.id] = book.now()
            self._touch([task.id])
        left = [
            each
            for each, touched in asked
            if self.touched[each.id] == touched
            and each.status is EventStatus.PENDING
            and each.execution.arrival is not None
        ]
        keys = [book.key(task) for task, _ in claims]
        book.demand(keys == sorted(keys), "P1: a claim is not sorted")
        for task, _ in claims:
            for other in left:
                before = book.key(other) < book.key(task)
                book.demand(not before, f"P1: {task.label} is claimed before {other.label}")  # type: ignore[attr-defined]
