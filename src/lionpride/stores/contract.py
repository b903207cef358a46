"""What the engine asks of a store: few verbs, the same for memory, SQLite and PostgreSQL.

A store keeps the events of one *queue*. It gives each an *arrival number* for life; order is
(priority, arrival number), and stays so through a release, a denial, a retry and a restart.

What holds on every store:

- ``append`` and ``settle`` are durable when they return, as far as the store is durable at all.
- A claim is exclusive while its lease lives. Its *attempt* number is the fencing token: only
  the latest claim of an event can settle it, and only once. To settle the same once more is
  harmless ("replayed"), a stale one changes nothing ("fenced").
- An event object that the process holds is written by the store alone, once the step is safe.

What a store offers beside stands in protocols of its own: ``Immediate``, ``Prompt`` and ``Foreign``
below, ``Shared`` in ``sharing.py``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable
from uuid import UUID

from ..model.execution import EventStatus
from ..model.work import Work
from ..rules.lifecycle import FOR_EVER, Outcome
from ..rules.metering import Limits
from .listeners import Listener, Signal, Unsubscribe
from .states import States
from .terms import Terms

if TYPE_CHECKING:
    from ..rules.standing import About, Room, Standing, Unreadable
    from .inspector import WorkerRecord
    from .record import Record

__all__ = (
    "Cancelled",
    "Claim",
    "Entry",
    "Foreign",
    "Immediate",
    "Named",
    "Prompt",
    "Settled",
    "Settlement",
    "Started",
    "Store",
    "Stuck",
    "Within",
    "is_paused",
)

Entry: TypeAlias = tuple[Work, float]
"""An event to append, and its priority."""

Claim: TypeAlias = tuple[Work, int]
"""A claimed event, and the number of the attempt: the fencing token."""

Started: TypeAlias = tuple[Work, int, dict[str, Any]]
"""A claim whose event is started, and the event's ``__dict__``, as it is dear to ask for."""

Named: TypeAlias = Work | UUID | str
"""An event of the store, or its id."""

Settlement: TypeAlias = tuple[Work, int, Outcome]
"""A claimed event, its attempt number, and what came of it."""

Within: TypeAlias = tuple[
    Callable[[], Started | None],
    Callable[[Work, int, Any, float], "Settled"],
    Callable[[Started, Any, float], Started | None],
]
"""``claim_now``, ``complete_now`` and ``next_now`` under limits."""


class Settled(Enum):
    """What became of a settlement."""

    APPLIED = "applied"
    """It is on record."""
    CANCELLED = "cancelled"
    """The event is on record as CANCELLED (``after_cancel``): a cancel of the claim had been
    answered, and the outcome would have returned the event to PENDING."""
    REPLAYED = "replayed"
    """It was on record already; nothing changed. So it is with an outcome that returns an event
    to PENDING, if the event is CANCELLED after that attempt."""
    FENCED = "fenced"
    """The claim had been lost; nothing changed."""

    @property
    def is_recorded(self) -> bool:
        """Whether this settlement changed what is on record."""
        return self is Settled.APPLIED or self is Settled.CANCELLED


class Cancelled(Enum):
    """What a request to cancel came to."""

    DONE = "done"
    """It was waiting, and is CANCELLED."""
    CLAIMED = "claimed"
    """A worker has it: that one has to end the attempt. The event does not return to PENDING."""
    SETTLED = "settled"
    """It had ended before; nothing changed."""


class Store(Protocol):
    """Interface of a store, which keeps the events of one queue.

    Attributes:
        queue: The name of the queue.
        states: The events in this process, as a live Flow.
    """

    queue: str
    states: States

    def time(self) -> float:
        """Return the store's time, by which ``due`` is compared: Unix time in seconds."""

    async def append(
        self,
        entries: Sequence[Entry],
        *,
        room: int | None = None,
        exist_ok: bool = False,
        terms: Terms | None = None,
    ) -> list[Work]:
        """Take events in, in this order: all of them or none.

        Args:
            entries: Pending events that nobody holds, with finite priorities.
            room: How many may be pending afterwards; None: any number.
            exist_ok: Whether an id that is known is left as it stands.
            terms: What holds for those of them that are new.

        Returns:
            The events as held: for a known id the one that was there; and the one that stands
            for it, where the terms ask for that.

        Raises:
            ExistsError: if an id is known, or given twice, unless ``exist_ok``.
            OperationError: if an event that is to be returned cannot be read in this process;
                nothing was appended.
            QueueFullError: if there is no room for all.
        """

    async def load(self, events: Sequence[Work]) -> int:
        """Take in events in whatever status they have: all or none; how many.

        One that was PROCESSING goes back to PENDING as interrupted.

        Raises:
            ExistsError: if an id is known.
        """

    async def import_records(self, records: Sequence[Record]) -> int:
        """Take in events from their records, as ``load`` does, in this store's queue.

        A durable store does not need their classes.

        Raises:
            ExistsError: if an id is known.
            NotFoundError: if a class is needed and this process has not defined it.
        """

    def register_worker(
        self,
        worker: str,
        cancel: Callable[[Work], object],
        about: Callable[[], About] | None = None,
    ) -> None:
        """A worker begins: its leases are kept alive until ``discharge``.

        It may do so once more, to have others see at once what it says of itself now.

        Args:
            worker: The name that it claims under.
            cancel: Called when somebody asks that the attempt of an event be cancelled; it may
                be an attempt of another worker.
            about: Returns what it says of itself. It is called now, with each heartbeat (perhaps in
                another thread), and by each question for workers: so the answer about a worker of
                this process is never out of date.
        """

    def unregister_worker(self, worker: str) -> None:
        """A worker has ended; what it still holds lapses."""

    async def has_live_workers(self) -> bool:
        """Whether any worker is at work on the queue, in this process or another."""

    async def workers(self) -> list[WorkerRecord]:
        """Return the workers of the queue, in all processes, in order of their start.

        A dead worker remains until another worker notices: see ``WorkerRecord.alive``. A worker
        that has ended properly is not included.
        """

    async def explain(self, uid: UUID, limits: Limits | None = None) -> Standing | None:
        """Where an event stands, and what it needs of limits; None if it is not here.

        Args:
            uid: Its id.
            limits: Under which it is claimed; None: those of the workers that are at work.
        """

    async def limit_usage(self, limits: Limits | None = None) -> list[Room]:
        """What is taken of limits, but of those that each key has; likewise if None are given."""

    async def claim(
        self,
        worker: str,
        n: int = 1,
        *,
        until: int | None = None,
        skip: Collection[int] = (),
        denied: bool = False,
        start: bool = False,
        limits: Limits | None = None,
    ) -> tuple[list[Claim], float | None]:
        """Take what is to be run next, by (priority, arrival), in one atomic step.

        Under limits, all that an event costs is reserved with its claim, or it is not claimed.
        One that may not start yet holds up nobody who does not delay it; one that never may is
        claimed with nothing reserved, and not started: ``refusal_of`` says why. What is
        reserved is used from the start on, and given back if there is none.

        Args:
            worker: Who takes it.
            n: How many at most: free slots, never a hoard.
            until: Only events whose arrival number is at most this.
            skip: Not those with these arrival numbers.
            denied: Also those that wait out a denial.
            start: Whether they are started at once, as by ``start``.
            limits: What they may cost.

        Returns:
            The claims, and the seconds until another claim may find something: 0.0 for at
            once, None for not before READY is signalled.
        """

    def start(self, event: Work) -> None:
        """Show a claimed event as PROCESSING: it enters ``_invoke`` now."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        """Put on record what came of claims; one answer each, in order.

        An event whose cancel was answered CLAIMED never returns to PENDING: where the outcome
        says so, CANCELLED is recorded and answered, in the step that ends the claim. Any other
        outcome is recorded as it is.

        Raises:
            ValidationError: if an outcome is too large to be stored; nothing was recorded, and the
                claims hold. Then settle ``after_unstorable(error)``.
        """

    async def reap(self, limit: int = 1000) -> int:
        """Give back what is held under a lapsed lease, as interrupted; how many.

        An event whose cancel was answered CLAIMED is CANCELLED instead.
        """

    async def cancel(self, events: Sequence[Named]) -> list[Cancelled]:
        """Cancel what waits, and ask it of the workers that have the rest; one answer each.

        Raises:
            NotFoundError: if one is not here; nothing is cancelled then.
        """

    async def retry(self, events: Sequence[Named]) -> None:
        """Send ended events back to PENDING, on record: FAILED, CANCELLED or ABORTED ones.

        Raises:
            NotFoundError, OperationError: if one is not here, or in another status; nothing
                is changed then.
        """

    async def pause(self, until: float = FOR_EVER) -> None:
        """Make no claims before a time, for every worker of the queue, now and later.

        Running events continue. The pause is stored with the queue, beside the wait that a service
        can ask for (``RateLimited``), which claims read anyway. In memory it holds for every
        executor that uses the store object.

        Args:
            until: A Unix timestamp in seconds; 0.0 ends the pause, also one that a service asked
                for.
        """

    async def paused_until(self) -> float:
        """Return the time before which nothing is claimed; without a pause it is past, or 0.0."""

    async def prune(
        self, statuses: Collection[EventStatus], *, limit: int | None = None
    ) -> list[Work]:
        """Remove finished events; in each status, those that finished first are removed first.

        Returns:
            The removed events that this process had.
        """

    async def remove(self, events: Sequence[Named]) -> None:
        """Remove events that no worker has claimed.

        Raises:
            NotFoundError: if one is unknown; none is removed then.
            OperationError: if one is claimed; none is removed then.
        """

    async def counts(self) -> dict[EventStatus, int]:
        """Return the number of events in each status, in O(1). PROCESSING counts claimed events."""

    async def list_records(
        self, status: EventStatus | None = None, *, after: int | None = None, limit: int = 100
    ) -> list[Record]:
        """Return a page of records in order of arrival number, above ``after``."""

    async def get(self, ids: Iterable[UUID | str]) -> list[Record | None]:
        """Return the records of these ids (UUIDs or texts); None for an unknown id."""

    async def find(self, uid: UUID | str) -> Work | None:
        """The event of an id: the one that this process has, or one made from its record.

        Raises:
            NotFoundError: if it has to be made and this process has not defined its class.
        """

    async def last_arrival(self) -> int:
        """The highest arrival number given so far; 0 before the first."""

    def subscribe(
        self,
        signal: Signal,
        listener: Listener,
        *,
        event: Work | None = None,
        once: bool = False,
    ) -> Unsubscribe:
        """Call a listener whenever something changes.

        Args:
            signal: What for; it says which arguments the listener gets.
            listener: Called in the event loop, in the middle of a step of the store. It must not
                raise, and should only set a flag or wake a task.
            event: For FINISHED: an event of this store.
            once: Whether the listener is removed when it is called.

        Returns:
            A function that removes the listener. More calls of it have no effect.

        Raises:
            NotFoundError: if the event is not in this store.
        """

    async def close(self) -> None:
        """Release the store's resources; a second call has no effect."""


async def is_paused(store: Store) -> bool:
    """Return True if the queue of a store is paused by hand, for all its workers."""
    return await store.paused_until() >= FOR_EVER


@runtime_checkable
class Immediate(Protocol):
    """What a store offers beside, if none of its steps ever waits: one event at a time.

    They do what the verbs do, without the coroutine and the lists of each: half of what it costs.
    """

    def append_now(self, event: Work, priority: float) -> bool:
        """``append`` of an event that is certainly new; False, and nothing done, if it is not."""

    def append_all_now(self, events: Sequence[Work], priorities: Sequence[float]) -> bool:
        """``append_now`` of all of them in this order, or of none: False."""

    def claim_now(self) -> Started | None:
        """``claim`` of one event that is started at once; None if none is due."""

    def within(self, limits: Limits) -> Within:
        """The same under limits: how to claim, to complete what that gave, and both.

        None also if the first may not start, whoever else may.
        """

    def settle_now(self, event: Work, attempt: int, outcome: Outcome) -> Settled:
        """``settle`` of one."""

    def complete_now(self, event: Work, attempt: int, response: Any, duration: float) -> Settled:
        """``settle`` of one that COMPLETED, with what its ``Completion`` would hold."""

    def next_now(self, done: Started, response: Any, duration: float) -> Started | None:
        """``complete_now`` of one, whatever it answers, and ``claim_now`` of the next."""


@runtime_checkable
class Prompt(Protocol):
    """What a store offers beside, if its steps wait for a commit that many share."""

    def append_soon(self, event: Work, priority: float, room: int | None = None) -> Awaitable[None]:
        """``append`` of one that nobody holds and that has never been held."""

    def complete_soon(self, event: Work, attempt: int, response: Any, duration: float) -> None:
        """``settle`` of one that COMPLETED, with what its ``Completion`` would hold.

        Nobody waits for it: it is on record when the event shows it, and tried until it is. If
        the response is too large to be stored, ``after_unstorable`` is recorded.
        """

    async def settled(self) -> None:
        """Return when nothing that was handed over is under way any more.

        Raises:
            StoreError: if it cannot be written.
        """


class Stuck(NamedTuple):
    """Events of a class that are pending and that no worker of the queue can run.

    Attributes:
        kind: The registry key of the class.
        total: How many of them are pending.
        unreadable: Which could not be built, and why; None if this process lacks the class.
    """

    kind: str
    total: int
    unreadable: Unreadable | None


@runtime_checkable
class Foreign(Protocol):
    """What a store offers beside, if it may hold events that a process cannot build.

    They stay pending for a process that can. A process does not claim such an event again for
    ten minutes, nor any of a class of which it met a hundred for one minute.

    Attributes:
        missing: The classes of events that a claim has met and that this process does not run:
            it has not defined them, or ``run_only`` leaves them out.
        failed_unreadable: How many this process has marked as FAILED because it cannot read them.
    """

    missing: set[str]
    failed_unreadable: int

    def run_only(self, types: Iterable[type[Work]]) -> None:
        """Claim only events of these classes and their subclasses; further calls add classes.

        Before the first call, events of all classes that this process has defined are claimed.
        """

    def runs(self, kind: str) -> bool:
        """Return True if this process claims events of a class, given by its registry key."""

    def fail_unreadable(self) -> None:
        """From now on, mark an event as FAILED whose stored data its class refuses."""

    def unreadable(self) -> tuple[Unreadable, ...]:
        """The classes of events that this process has met and could not build."""

    def why_unreadable(self, uid: UUID, kind: str) -> str | None:
        """Why this process does not claim an event for now; None if it may."""

    async def stuck(self) -> list[Stuck]:
        """What is pending, by class, if no worker of the queue can run any of it; else nothing."""
