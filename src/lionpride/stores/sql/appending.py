"""Append with options: events are appended all or none, and some of them may be known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from ...errors import ExistsError
from ...model.after import After
from ...model.execution import EventStatus
from ...rules.action import Action
from ..append_checks import check_room
from ..terms import Terms
from .actions import insert_actions
from .backend import FinishedRow, ReadyRow
from .codec import full_row, split_rows
from .dependencies import (
    blocked,
    insert_continuations,
    insert_dependencies,
    last_continuation,
    locate_parents,
)
from .rows import PENDING, PROCESSING, AppendRow, EventRow, KnownEvent, NewEventRow

if TYPE_CHECKING:
    from ...model.event_data import EventData
    from .backend import Transaction
    from .local_events import LocalEvents

__all__ = (
    "PIECE",
    "AppendRequest",
    "Appended",
    "KnownIdError",
    "NotHeld",
    "append",
    "append_or_find",
    "exists",
    "insert_states",
)

_COMPLETED: Final = EventStatus.COMPLETED.value

PIECE: Final = 2_000
"""Maximum number of events that one statement appends."""

_MAX_RUNS: Final = 8
"""Maximum number of runs of equal rows that an append inserts separately."""

_NEWEST: Final = """
SELECT number, unique_at FROM {event} WHERE queue = $1 AND unique_key = $2
ORDER BY number DESC LIMIT 1
"""


class Appended(NamedTuple):
    """Result of an append.

    Attributes:
        numbers: The number of each event.
        known: The numbers of those that were known before.
    """

    numbers: Sequence[int]
    known: Collection[int] = ()


class NotHeld(Exception):
    """An append has met known events that this process has not built; nothing was appended."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(numbers)
        self.numbers = numbers


class KnownIdError(Exception):
    """An append has inserted an id that is known, or that it contains twice."""


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """Events to append, all or none; some of them may be known.

    Attributes:
        rows: The columns of the events.
        foreign: The ids of the events that belong to another store.
        room: The queue limit.
        exist_ok: True to leave events with a known id unchanged.
        terms: The options of the append.
        after: The parents of some of the events, by the id of the child.
        actions: Who has cancelled or retried some of the events, by id.
        has: Returns True if this process has the event of a number. It may be called in another
            thread. None if that does not matter.
    """

    rows: Sequence[NewEventRow] | Sequence[EventRow]
    foreign: frozenset[bytes] = frozenset()
    room: int | None = None
    exist_ok: bool = False
    terms: Terms | None = None
    after: Mapping[bytes, After] = field(default_factory=dict)
    actions: Mapping[bytes, Sequence[Action]] = field(default_factory=dict)
    has: Callable[[int], bool] | None = None

    @property
    def ids(self) -> list[bytes]:
        """The ids of the events."""
        return [row[0] for row in self.rows]

    @property
    def unique_key(self) -> str | None:
        """The unique key of the append; None if there is none."""
        unique = None if self.terms is None else self.terms.unique
        return None if unique is None else unique[0]

    @property
    def may_insert_first(self) -> bool:
        """True if the events can be inserted without a look for known ids.

        They have no record yet, and no queue limit. A known id makes the statement fail.
        """
        return self.room is None and not isinstance(self.rows[0], EventRow)

    def locks(self, queue: int) -> list[str]:
        """Return the names of the locks that the append needs, in lock order."""
        unique = [] if self.unique_key is None else [f"unique {queue} {self.unique_key}"]
        return unique if self.room is None else [*unique, f"room {queue}"]

    def check_held(self, known: Iterable[int]) -> None:
        """Raise NotHeld if this process does not have one of the known events.

        Events are not built in a transaction, since the code of their classes may take long.
        """
        if self.has is not None:
            has = self.has
            if unknown := [number for number in known if not has(number)]:
                raise NotHeld(unknown)

    def is_met_by(self, unique_at: float, status: str) -> bool:
        """Return True if the newest event with the unique key takes the place of this one.

        Args:
            unique_at: The time at which that event was appended.
            status: Its status.
        """
        assert self.terms is not None
        assert self.terms.unique is not None
        waits = status in (PENDING, PROCESSING)
        return self.terms.are_met_by((self.terms.unique[0], unique_at), waits)

    def new_rows(
        self, known: Mapping[bytes, KnownEvent], refused: Callable[[bytes], ExistsError]
    ) -> dict[bytes, AppendRow]:
        """Return the rows of the new events, each once.

        Args:
            known: The known ids.
            refused: Returns the error for an id that is known, or occurs twice.
        """
        new: dict[bytes, AppendRow] = dict(zip(self.ids, self.rows, strict=True))
        if len(new) == len(self.rows) and not (known or self.foreign):
            return new
        new = {}
        for row in self.rows:
            uid = row[0]
            if uid in known or uid in new:
                if not self.exist_ok:
                    raise refused(uid)
            elif uid in self.foreign:
                raise ExistsError(
                    f"the event of id {UUID(bytes=uid)} belongs to another executor: "
                    "append event.as_fresh_event(), or load(executor.states.to_dict()) to "
                    "take over copies of all"
                )
            else:
                new[uid] = row
        return new

    def committed_result(
        self, earlier: Sequence[Appended], known: Mapping[bytes, KnownEvent]
    ) -> Appended | None:
        """Return the result of the earlier try that was committed; None if there is none.

        It has appended all of its events or none, and no other try gets the same numbers.
        """
        now = {event.number for event in known.values()}
        for result in earlier:
            if not now.isdisjoint(set(result.numbers).difference(result.known)):
                return result
        return None


async def _no_pause() -> None:
    pass


async def append(
    tx: Transaction,
    request: AppendRequest,
    *,
    piece: int = PIECE,
    pause: Callable[[], Awaitable[None]] = _no_pause,
) -> Appended:
    """Append events, all or none.

    A repeat returns the result of the earlier try whose new events have the same numbers.

    Round trips on PostgreSQL: 1 for each piece if no event has a record or an option. Otherwise 3
    to 9: locks, known ids, the newest event of a unique key and its location, counts, and for each
    piece numbers, events, state, and counters.

    Args:
        tx: The transaction.
        request: The events.
        piece: Maximum number of events that one statement inserts or looks for.
        pause: Awaited after each piece. This is the only way in which the operation suspends on
            SQLite.

    Raises:
        ExistsError: if an id is known, or occurs twice, and that is not allowed.
        QueueFullError: if more events would wait than the queue limit allows.
        NotFoundError: if a parent is unknown.
        NotHeld: if a known event is not in this process.
        KnownIdError: if another transaction has appended an id meanwhile. The transaction is rolled
            back, and the operation is repeated from its start.
    """

    def refused(uid: bytes) -> ExistsError:
        return exists(uid, known.get(uid), tx.queue, tx.container)

    if locks := request.locks(tx.queue):
        await tx.lock(*locks)
    existing = await _find_unique(tx, request)
    known: dict[bytes, KnownEvent] = {}
    if not tx.is_first_try or (existing is None and not request.may_insert_first):
        for ids in _pieces(request.ids, piece):
            known |= await tx.known(ids)
            await pause()
    if (result := request.committed_result(tx.earlier, known)) is not None:
        return result
    if existing is not None:
        request.check_held([existing])
        return Appended([existing], [existing])
    if others := [uid for uid, event in known.items() if event.queue != tx.queue]:
        raise refused(others[0])
    new = request.new_rows(known, refused)
    if request.room is not None:
        check_room((await tx.counts())[PENDING], len(new), request.room)
    numbers = {uid: event.number for uid, event in known.items()}
    request.check_held(numbers.values())
    known_numbers = list(numbers.values())
    after = {uid: one for uid, one in request.after.items() if uid in new}
    parents = await locate_parents(tx, after, new) if after else {}
    rows_to_insert = [blocked(row) if uid in after else row for uid, row in new.items()]
    inserted = await _insert(tx, rows_to_insert, piece, pause)
    await insert_continuations(tx, new, inserted)
    if after:
        await insert_dependencies(tx, new, after, parents | dict(zip(new, inserted, strict=True)))
    if request.actions:
        of_new = zip(new, inserted, strict=True)
        await insert_actions(
            tx, {n: request.actions[uid] for uid, n in of_new if uid in request.actions}
        )
    if len(inserted) == len(request.rows):
        return Appended(inserted)
    numbers |= zip(new, inserted, strict=True)
    return Appended([numbers[uid] for uid in request.ids], known_numbers)


async def _insert(
    tx: Transaction, rows: Sequence[AppendRow], piece: int, pause: Callable[[], Awaitable[None]]
) -> list[int]:
    """Insert rows in order, those of one shape that follow each other together.

    A statement costs more than the columns that a short row saves. So if shapes change often, all
    rows are inserted in the long shape.
    """
    runs = [list(run) for _, run in groupby(rows, key=lambda row: isinstance(row, EventRow))]
    if len(runs) > _MAX_RUNS:
        runs = [[full_row(row) for row in rows]]
    numbers: list[int] = []
    for run in runs:
        for some in split_rows(run, _payload, piece):
            numbers += await tx.insert_events(some)
            await pause()
    return numbers


async def insert_states(tx: Transaction, numbers: Sequence[int], rows: Sequence[EventRow]) -> None:
    """Insert the state of events that were appended, each as ready or finished."""
    ready, finished = list[ReadyRow](), list[FinishedRow]()
    for number, row in zip(numbers, rows, strict=True):
        if row.status == PENDING:
            ready.append(ReadyRow(number, row.due, row.priority, row.state))
        else:
            finished.append(FinishedRow(number, row.status, row.state, row.finished_at))
    await tx.insert_ready(ready)
    await tx.insert_finished(finished)


async def _find_unique(tx: Transaction, request: AppendRequest) -> int | None:
    """Return the event with the same unique key that takes the place of the one to append."""
    if request.unique_key is None:
        return None
    for number, unique_at in await tx.rows(_NEWEST, tx.queue, request.unique_key):
        found = (await tx.locate([number])).get(number)
        if found is not None and found.status == _COMPLETED:
            last = await last_continuation(tx, number)
            found = (await tx.locate([last])).get(last)
        if found is not None and request.is_met_by(unique_at, found.status):
            return int(number)
    return None


def _payload(row: AppendRow) -> str:
    return row.payload if isinstance(row, EventRow) else row[2]


def _pieces(ids: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (ids[at : at + size] for at in range(0, len(ids), size))


async def append_or_find(
    request: AppendRequest,
    local_events: LocalEvents,
    ask: Callable[[AppendRequest], Awaitable[list[EventData]]],
) -> list[EventData]:
    """Append events, all or none. Known events are built before anything is appended.

    Args:
        request: The events to append.
        local_events: The event objects of this process.
        ask: Makes the request, and returns the event objects; see ``Backend.append``.

    Raises:
        OperationError: if a known event cannot be read in this process; nothing was appended.
    """
    built: dict[int, EventData | None] = {}  # kept until the append is noted

    def has(number: int) -> bool:
        return number in built or local_events.cache.has(number)

    request = replace(request, has=has)
    while True:
        try:
            return await ask(request)
        except NotHeld as error:
            built |= {number: local_events.find_known(number) for number in error.numbers}


def exists(uid: bytes, known: KnownEvent | None, queue: int, container: str) -> ExistsError:
    """Return the error for an id that is known, or that an append contains twice.

    Args:
        uid: The id.
        known: The event with that id; None if the append contains it twice.
        queue: The number of the queue of the append.
        container: What contains all queues: "file" or "schema".
    """
    if known is not None and known.queue != queue:
        return ExistsError(
            f"an event of id {UUID(bytes=uid)} is known in queue {known.queue_name!r} of this "
            f"{container}: nothing was appended; append event.as_fresh_event(), or look for it in "
            "that queue"
        )
    return ExistsError(
        f"an event of id {UUID(bytes=uid)} is known here already: nothing was appended; append "
        "event.as_fresh_event(), or pass exist_ok=True"
    )
