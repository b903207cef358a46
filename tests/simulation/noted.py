"""A store between an executor and a ledger that judges its claims.

Where the verbs of a store suspend, a start comes some turns of the loop after its claim, and the
order is decided at the claim (decision 2): by what waited when it was asked for.
"""

from collections.abc import Collection
from typing import Any

from simulation.ledger import Book
from simulation.tasks import Task
from simulation.wrapped import Wrapped

from lionpride.model.execution import EventStatus
from lionpride.stores.contract import Claim, Store


class Noted(Wrapped):
    """Passes everything on, and has a ledger note what is claimed.

    Attributes:
        book: The ledger.
    """

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.book: Book

    async def claim(self, worker: str, n: int = 1, **how: Any) -> tuple[list[Claim], float | None]:
        asked = self._waiting(**how)
        claims, wait = await self.inner.claim(worker, n, **how)
        self._judge(asked, [(task, attempt) for task, attempt in claims if isinstance(task, Task)])
        return claims, wait

    def _waiting(
        self,
        until: int | None = None,
        skip: Collection[int] = (),
        denied: bool = False,
        **_: Any,
    ) -> list[Claim]:
        """What a claim may take now, and the attempts so far."""
        book, found = self.book, list[Claim]()
        for task in book.executor.pending_events:
            state = task.execution
            is_due = state.due is None or state.due <= book.now()
            number = state.arrival or 0
            is_its = (until is None or number <= until) and number not in skip
            if is_its and (is_due or (denied and state.denials)) and task.id not in book.claimed:
                found.append((task, state.attempt))
        return found

    def _judge(self, asked: list[Claim], claims: list[Claim]) -> None:
        """P1: a claim leaves out nothing that waited, and waits still, with a smaller key."""
        book = self.book
        for task, _ in claims:
            book.claimed[task.id] = book.now()
        left = [
            each
            for each, attempt in asked
            if each.execution.attempt == attempt
            and each.status is EventStatus.PENDING
            and each.execution.arrival is not None
            and each.id not in book.claimed
        ]
        keys = [book.key(task) for task, _ in claims]
        book.demand(keys == sorted(keys), "P1: a claim is not sorted")
        for task, _ in claims:
            for other in left:
                before = book.key(other) < book.key(task)
                book.demand(not before, f"P1: {task.label} is claimed before {other.label}")

    async def settle(self, settlements: Any) -> Any:
        for task, _, _ in settlements:
            self.book.claimed.pop(task.id, None)
        return await self.inner.settle(settlements)
