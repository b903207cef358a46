"""The contract of a store: the same methods for memory, SQLite and PostgreSQL.

A store keeps the events of one *queue*. It gives each event an *arrival number* for life. Claims
are in order of priority and arrival number, also after a release, a denial, a retry or a restart.

Every store guarantees:

- ``append`` and ``settle`` are durable when they return, as far as the store is durable at all.
- A claim is exclusive while its lease holds. Its *attempt number* is the fencing token: only the
  latest claim of an event can settle it, and only once. Repeating a settlement is harmless
  ("replayed"); the settlement of an older claim changes nothing ("fenced").
- Only the store writes an event object of this process, after the step has been committed.

``Store`` has four groups of methods: for workers, for administration, for queries, and others.
Four protocols are optional: ``ImmediatePath`` and ``BufferedPath`` below, for a store whose steps
never wait and for one whose steps wait for a commit, ``LeaseHolder`` for a store with a heartbeat,
and ``Maintenance`` for a store with a schema.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable
from uuid import UUID

from ..errors import NotFoundError
from ..model.after import After, When
from ..model.event_data import EventData
from ..model.execution import EventStatus
from ..rules.limits.limit_set import Limits
from ..rules.state_machine import FOR_EVER, Outcome
from .listeners import Listener, Signal, Unsubscribe
from .states import States
from .terms import Terms

if TYPE_CHECKING:
    from ..rules.action import PauseRecord
    from ..rules.queue_position import About, Room, Standing, Unreadable
    from .inspector import Inspector, WorkerRecord
    from .record import Record
    from .schedule_record import ScheduleRecord

__all__ = (
    "NO_PARENTS",
    "BufferedPath",
    "Cancelled",
    "Claim",
    "Entry",
    "EventTypes",
    "ImmediatePath",
    "LeaseHolder",
    "Named",
    "Relative",
    "Settled",
    "Settlement",
    "Started",
    "Store",
    "Stuck",
    "has_live_workers",
    "is_paused",
    "not_here",
)

Entry: TypeAlias = tuple[EventData, float]
"""An event to append, and its priority."""

Claim: TypeAlias = tuple[EventData, int]
"""A claimed event, and its attempt number, which is the fencing token."""

Started: TypeAlias = tuple[EventData, int, dict[str, Any]]
"""A claim whose event is started, and the event's ``__dict__``, which is slow to look up."""

Named: TypeAlias = EventData | UUID | str
"""An event of the store, or its id."""

Settlement: TypeAlias = tuple[EventData, int, Outcome]
"""A claimed event, its attempt number, and the outcome."""


NO_PARENTS: Final[Mapping[UUID, After]] = MappingProxyType({})
"""An append without dependencies."""


class Relative(NamedTuple):
    """A parent or a child of an event.

    Attributes:
        place: Of a parent: its index among the parents of the event. Of a child: its arrival
            number.
        record: Its record.
        when: The condition of the child.
        is_met: True if the parent has met the condition, False if it has not; None while it is
            unfinished.
    """

    place: int
    record: Record
    when: When
    is_met: bool | None


class Settled(Enum):
    """Answer to a settlement."""

    APPLIED = "applied"
    """It is recorded."""
    CANCELLED = "cancelled"
    """The event is recorded as CANCELLED (``after_cancel``): a cancel of the claim had been
    answered, and the outcome would have returned the event to PENDING."""
    REPLAYED = "replayed"
    """It had been recorded before; nothing changed. An outcome that returns an event to PENDING is
    also a repeat if the event is CANCELLED after that attempt."""
    FENCED = "fenced"
    """The claim had been lost; nothing changed."""

    @property
    def is_recorded(self) -> bool:
        """True if this settlement changed what is recorded."""
        return self is Settled.APPLIED or self is Settled.CANCELLED


class Cancelled(Enum):
    """Answer to a request to cancel an event."""

    DONE = "done"
    """It was pending, and is CANCELLED."""
    CLAIMED = "claimed"
    """A worker has claimed it and has to end the attempt. It does not return to PENDING."""
    SETTLED = "settled"
    """It had finished before; nothing changed."""


class Stuck(NamedTuple):
    """Pending events of a type that no worker of the queue can run.

    Attributes:
        kind: The registry key of the type.
        total: The number of pending events.
        unreadable: An example that could not be built, and the reason; None if this process does
            not run the type.
    """

    kind: str
    total: int
    unreadable: Unreadable | None


class EventTypes(Protocol):
    """The event types that this process runs, and the events that it cannot run.

    Such events stay pending for a process that runs them. This process does not claim an event
    again for ten minutes that it could not build. After a hundred of one class, it does not claim
    events of the class for one minute.

    Attributes:
        missing: Event types that claims have met and that this process does not run: it has not
            defined them, or ``run_only`` leaves them out.
        failed_unreadable: The number of events that this process has marked as FAILED because it
            cannot build them.
    """

    missing: set[str]
    failed_unreadable: int

    def run_only(self, types: Iterable[type[EventData]]) -> None:
        """Claim only events of these classes and their subclasses; further calls add classes.

        Before the first call, events of all classes that this process has defined are claimed.
        """

    def runs(self, kind: str) -> bool:
        """Return True if this process claims events of a type, given by its registry key."""

    def fail_unreadable(self) -> None:
        """From now on, mark an event as FAILED whose stored data its class refuses."""

    def unreadable(self) -> tuple[Unreadable, ...]:
        """Return the event types of which this process could not build an event."""

    def why_unreadable(self, uid: UUID, kind: str) -> str | None:
        """Return why this process does not claim an event for now; None if it may."""


class Store(Protocol):
    """Interface of a store, which keeps the events of one queue.

    Attributes:
        queue: The name of the queue.
        states: The events in this process, as a live Flow.
        is_shared: True if other processes can use the same events.
    """

    queue: str
    states: States
    is_shared: bool

    @property
    def event_types(self) -> EventTypes:
        """The event types that this process runs, and the events that it cannot run."""

    @property
    def inspector(self) -> Inspector:
        """The inspector of the queue, which answers queries for monitoring."""

    # -- for workers -------------------------------------------------------------------------

    async def append(
        self,
        entries: Sequence[Entry],
        *,
        room: int | None = None,
        exist_ok: bool = False,
        terms: Terms | None = None,
        after: Mapping[UUID, After] = NO_PARENTS,
        connection: Any = None,
    ) -> list[EventData]:
        """Append events in this order: all of them or none.

        Args:
            entries: Pending events that no store has, with finite priorities.
            room: Maximum number of pending events afterwards; None for no maximum.
            exist_ok: True to leave an event unchanged whose id is known.
            terms: Terms of the new events.
            after: The parents of new events, by the id of the child, without cycles. Each parent is
                appended here as well, or is in the store, perhaps in another queue, unfinished or
                finished. A child is PENDING and not claimed until its parents have finished as it
                requires. If one of them does not, the child is CANCELLED with a DependencyError.
            connection: A database connection of the caller, in whose transaction the events are
                appended. They exist after its commit. ``room`` and ``exist_ok`` do not apply.

        Returns:
            The events of the store. For a known id, the event that was there before; the same for
            a unique value that is taken. With a connection, the given events, which do not belong
            to the store, since it does not know of the commit.

        Raises:
            ConfigurationError: if the store cannot use the connection.
            ExistsError: if an id is known, or given twice, unless ``exist_ok``.
            NotFoundError: if a parent is unknown.
            OperationError: if an event to return cannot be read in this process. With a connection,
                if its transaction cannot decide the terms, or if the store has no transactional
                append. Nothing was appended.
            QueueFullError: if there is no space for all.
        """

    async def load(self, events: Sequence[EventData]) -> int:
        """Append events of any status, all or none, and return their number.

        An event that was PROCESSING becomes PENDING, as interrupted. An event that was blocked is
        blocked again, or is released or cancelled if its parents have finished.

        Raises:
            ExistsError: if an id is known.
            NotFoundError: if a parent of a blocked event is unknown, and not among the events.
            ValidationError: if blocked events wait for each other in a cycle.
        """

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
        """Claim the next events by priority and arrival number, in one atomic step.

        Events that have expired are finished first. An event whose type this process does not run
        stays pending. Under limits, the claim of an event reserves all its costs, or the event is
        not claimed. Such an event holds up no event that does not delay it. An event that can
        never start under the limits is claimed without a reservation, and not started:
        ``refusal_of`` returns the reason. The reserved amounts are used from the start on, and
        returned if there is no start.

        Args:
            worker: The name of the worker.
            n: Maximum number of events: the free slots of the worker.
            until: Only events whose arrival number is at most this.
            skip: Arrival numbers of events that are not claimed.
            denied: True to claim also events that wait after a denial.
            start: True to start them at once, as ``start`` does.
            limits: The limits on their costs.

        Returns:
            The claims, and the seconds until another claim may find an event: 0.0 for at once,
            None for not before READY is signalled.
        """

    def holds(self, event: EventData, attempt: int) -> bool:
        """Return True if a claim of this process may still be started.

        It is False if the lease may have lapsed, or if the event has expired. The database is not
        queried. The age of the claim is compared with the lease and with the renewals of the
        heartbeat, by a clock that counts while the machine sleeps.
        """

    def start(self, event: EventData) -> None:
        """Show a claimed event as PROCESSING: its code begins now."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        """Record the outcomes of claims; return an answer for each, in order.

        An event whose cancel was answered CLAIMED never returns to PENDING. If the outcome is
        PENDING, CANCELLED is recorded and answered, in the step that ends the claim. Any other
        outcome is recorded as it is.

        The events of a ``Continued`` outcome are appended in the step that records it, and only if
        it is recorded.

        Raises:
            ExistsError, NotFoundError: if an event of a ``Continued`` outcome cannot be appended;
                that outcome was not recorded, and the claim holds.
            ValidationError: if an outcome is too large to be stored; nothing was recorded, and the
                claims hold. Then settle ``after_unstorable(error)``.
        """

    def register_worker(
        self,
        worker: str,
        cancel: Callable[[EventData], object],
        about: Callable[[], About] | None = None,
    ) -> None:
        """Register a worker: its leases are renewed until ``unregister_worker``.

        A repeat shows its description to other processes at once.

        Args:
            worker: The name that it claims under.
            cancel: Called for each request to cancel a claimed event; another worker may have
                claimed it.
            about: Returns its description. It is called now, with each heartbeat (perhaps in
                another thread), and by each query of workers. So the description of a worker of
                this process is up to date.
        """

    def unregister_worker(self, worker: str) -> None:
        """Remove a worker; the leases that it still has lapse."""

    async def reap(self, limit: int = 1000) -> int:
        """Return the events of lapsed leases to PENDING, as interrupted; return their number.

        An event whose cancel was answered CLAIMED is CANCELLED instead. Claims reap at intervals.
        """

    def publish(self, event: EventData, attempt: int) -> None:
        """Publish chunks and progress of an attempt of this process at intervals.

        Other processes read them, and are notified of FINISHED. They are deleted after the end of
        the attempt, whose record contains them. It is called for the first chunk or progress;
        further calls are harmless. It has no effect if no other process can use the store.
        """

    # -- administration ----------------------------------------------------------------------

    async def cancel(self, events: Sequence[Named], *, by: str | None = None) -> list[Cancelled]:
        """Cancel pending events, and request it from the workers of claimed ones.

        Args:
            events: The events.
            by: Who asks for it: it is recorded as an ``Action`` of each event that had not
                finished. None records nothing.

        Returns:
            An answer for each, in order.

        Raises:
            NotFoundError: if an event is unknown; none is cancelled then.
            ValidationError: for an invalid name.
        """

    async def retry(self, events: Sequence[Named], *, by: str | None = None) -> None:
        """Return FAILED, CANCELLED or ABORTED events to PENDING, whatever their parents are.

        Children that were cancelled for them wait again, and so on for their children, also if they
        are among the given events. Children that still wait for other parents wait for these events
        as well.

        Args:
            events: The events.
            by: Who asks for it: it is recorded as an ``Action`` of each event. None records
                nothing.

        Raises:
            NotFoundError: if an event is unknown; nothing is changed then.
            OperationError: if an event has another status; nothing is changed then.
            ValidationError: for an invalid name.
        """

    async def remove(self, events: Sequence[Named]) -> None:
        """Remove events that no worker has claimed.

        Raises:
            NotFoundError: if an event is unknown; none is removed then.
            OperationError: if an event is claimed, or has an unfinished child that is not removed
                as well; none is removed then.
        """

    async def prune(
        self,
        statuses: Collection[EventStatus],
        *,
        limit: int | None = None,
        before: float | None = None,
    ) -> list[EventData]:
        """Remove finished events; in each status, those that finished first are removed first.

        Events with unfinished children stay.

        Args:
            statuses: The statuses.
            limit: Maximum number of events; None for all.
            before: Only events that finished before this time, a Unix timestamp in seconds. In
                memory, an event that never started has no known end, and stays.

        Returns:
            The removed events that this process had.
        """

    async def pause(self, until: float = FOR_EVER, *, by: str | None = None) -> None:
        """Make no claims before a time, for every worker of the queue, now and later.

        Running events continue. The pause is stored with the queue, beside the wait that a service
        can ask for (``RateLimited``), which claims read anyway. In memory it holds for every
        executor that uses the store object.

        Args:
            until: A Unix timestamp in seconds; 0.0 ends the pause, also one that a service asked
                for.
            by: Who asks for it, for ``pause_record``, or with 0.0 for ``resume_record``. A pause
                with an end has no record.

        Raises:
            ValidationError: for an invalid name.
        """

    async def import_records(self, records: Sequence[Record]) -> int:
        """Append events from their records to the queue of this store, as ``load`` does.

        A durable store does not need their classes.

        Raises:
            ExistsError: if an id is known.
            NotFoundError: if a class is needed and this process has not defined it. Also see
                ``load``.
            ValidationError: see ``load``.
        """

    async def change_schedule(
        self,
        old: ScheduleRecord | None,
        new: ScheduleRecord | None,
        *,
        events: Sequence[Record] = (),
        after: Mapping[UUID, After] = NO_PARENTS,
        room: int | None = None,
    ) -> bool:
        """Replace a schedule and append events, in one step, if nobody has changed it meanwhile.

        Args:
            old: The record as ``schedules`` has returned it; None for a new schedule.
            new: The record that replaces it, under the same name; None to remove the schedule.
            events: Records of pending events to append. Those whose id is known are left out. A
                durable store does not need their classes.
            after: The parents of some of the events.
            room: Maximum number of pending events afterwards; None for no maximum.

        Returns:
            False if the schedule has another version, or a schedule of the name exists already, or
            does not exist any more. Nothing was changed then.

        Raises:
            ExistsError: if an id is known in another queue.
            NotFoundError: if a parent is unknown, or a class that is needed is not defined.
            QueueFullError: if there is no space for the events. Nothing was changed.
        """

    # -- queries -----------------------------------------------------------------------------

    async def schedules(self) -> list[ScheduleRecord]:
        """Return the schedules of the queue, by name."""

    async def counts(self) -> dict[EventStatus, int]:
        """Return the number of events in each status, in O(1). PROCESSING counts claimed events."""

    async def get(self, ids: Iterable[UUID | str]) -> list[Record | None]:
        """Return the records of these ids (UUIDs or texts); None for an unknown id."""

    async def find(self, uid: UUID | str) -> EventData | None:
        """Return the event of an id: the one of this process, or one made from its record.

        Raises:
            NotFoundError: if it has to be made and this process has not defined its class.
        """

    async def parents(self, event: Named, *, first: int = 0, limit: int = 100) -> list[Relative]:
        """Return a page of the parents of an event, of any queue, in the order given at its append.

        Parents that were removed are missing.

        Args:
            event: The event.
            first: The first ``place`` of the page.
            limit: Maximum number.

        Raises:
            NotFoundError: if the event is unknown.
        """

    async def parent_events(
        self, event: Named, *, first: int = 0, limit: int = 100
    ) -> list[tuple[int, EventData]]:
        """Return a page of the parents of an event, as events. See ``parents`` for the arguments.

        Returns:
            The ``place`` and the event of each. In memory it is the event itself, in a database one
            that is made from its record.

        Raises:
            NotFoundError: if the event is unknown, or this process has not defined the class of a
                parent.
        """

    async def parent_counts(self, event: Named) -> dict[EventStatus, int]:
        """Return the number of parents of an event in each status, at one instant.

        Raises:
            NotFoundError: if the event is unknown.
        """

    async def children(self, event: Named, *, first: int = 0, limit: int = 100) -> list[Relative]:
        """Return a page of the children of an event, of any queue, by arrival number.

        The arguments and errors are those of ``parents``.
        """

    async def list_records(
        self, status: EventStatus | None = None, *, after: int | None = None, limit: int = 100
    ) -> list[Record]:
        """Return a page of records in order of arrival number, above ``after``."""

    async def last_arrival(self) -> int:
        """Return the highest arrival number so far; 0 before the first."""

    async def paused_until(self) -> float:
        """Return the time before which nothing is claimed; without a pause it is past, or 0.0."""

    async def pause_record(self) -> PauseRecord | None:
        """Return who has paused the queue by hand, and when; None if that is not so."""

    async def resume_record(self) -> PauseRecord | None:
        """Return who has ended the last pause by hand, and when.

        None if the queue is paused by hand, was never paused, or the caller has given no name.
        """

    async def explain(self, uid: UUID, limits: Limits | None = None) -> Standing | None:
        """Return the position of an event in the queue, and what it needs of limits.

        Args:
            uid: Its id.
            limits: The limits under which it is claimed; None for those that the workers report.

        Returns:
            None if the event is unknown.
        """

    async def limit_usage(self, limits: Limits | None = None) -> list[Room]:
        """Return the usage of limits that are not per key; None for the reported limits."""

    async def workers(self) -> list[WorkerRecord]:
        """Return the workers of the queue, in all processes, in order of their start.

        A dead worker remains until another worker notices: see ``WorkerRecord.alive``. A worker
        that was unregistered is not included.
        """

    async def stuck(self) -> list[Stuck]:
        """Return the pending events by type if no worker of the queue can run any; else nothing."""

    async def published(
        self, event: EventData, attempt: int, first: int
    ) -> tuple[int, list[Any]] | None:
        """Return published chunks of an attempt that another process runs.

        Args:
            event: The event.
            attempt: The attempt whose chunks the caller has.
            first: The number of these chunks.

        Returns:
            The number of the running attempt, and some of its chunks: from ``first`` on if it is
            the same attempt, otherwise from the first chunk on. None if nothing is published.
        """

    # -- other -------------------------------------------------------------------------------

    def subscribe(
        self,
        signal: Signal,
        listener: Listener,
        *,
        event: EventData | None = None,
        once: bool = False,
    ) -> Unsubscribe:
        """Call a listener at each change of a kind.

        Args:
            signal: The kind; it says which arguments the listener gets.
            listener: Called in the event loop, in the middle of a step of the store. It must not
                raise, and should only set a flag or wake a task.
            event: For FINISHED: an event of this store.
            once: True to remove the listener when it is called.

        Returns:
            A function that removes the listener. More calls of it have no effect.

        Raises:
            NotFoundError: if the event is not in this store.
        """

    def time(self) -> float:
        """Return the store's time, by which events are due and expire: Unix time in seconds."""

    async def close(self) -> None:
        """Release the store's resources; a second call has no effect."""


# -- optional protocols ----------------------------------------------------------------------------


@runtime_checkable
class ImmediatePath(Protocol):
    """Steps for one event without a coroutine, of a store whose steps never wait.

    They do what the methods of the contract do, at half of the price.
    """

    def append_now(self, event: EventData, priority: float) -> bool:
        """Append an event that is certainly new; return False, and do nothing, if it is not."""

    def append_all_now(self, events: Sequence[EventData], priorities: Sequence[float]) -> bool:
        """Append events that are certainly new, all or none, as ``append_now`` does."""

    def claim_now(self, limits: Limits | None = None) -> Started | None:
        """Claim and start the next event; return None if none is due.

        Under limits it also returns None if the next event may not start: ``claim`` decides then
        whether a later one may.
        """

    def settle_now(self, event: EventData, attempt: int, outcome: Outcome) -> Settled:
        """Record the outcome of a claim."""

    def complete_now(
        self, event: EventData, attempt: int, response: Any, duration: float
    ) -> Settled:
        """Record that an event COMPLETED, with what a ``Completion`` would contain."""


@runtime_checkable
class BufferedPath(Protocol):
    """Steps for one event without a coroutine, of a store where many steps share a commit."""

    def append_soon(
        self, event: EventData, priority: float, room: int | None = None
    ) -> Awaitable[None]:
        """Append an event that has never been in a store."""

    def complete_soon(self, event: EventData, attempt: int, response: Any, duration: float) -> None:
        """Record that an event COMPLETED, with what a ``Completion`` would contain.

        No caller waits: it is recorded when the event shows it, and tried again until then. If
        the response is too large to be stored, ``after_unstorable`` is recorded.
        """

    async def settled(self) -> None:
        """Return when no append and no completion is under way.

        Raises:
            StoreError: if they cannot be written.
        """


@runtime_checkable
class LeaseHolder(Protocol):
    """A store whose leases a thread of this process renews."""

    @property
    def lease(self) -> float:
        """The length of a lease in seconds."""

    @property
    def heartbeat_silence(self) -> float:
        """Seconds since the thread last tried to renew the leases, with or without success.

        It is 0.0 while this process has no worker.
        """

    @property
    def renews_leases(self) -> bool:
        """False if the last renewal failed, or is a whole lease ago: then nothing is claimed."""


# -- what follows from the contract ----------------------------------------------------------------


async def is_paused(store: Store) -> bool:
    """Return True if the queue of a store is paused by hand, for all its workers."""
    return await store.paused_until() >= FOR_EVER


async def has_live_workers(store: Store) -> bool:
    """Return True if any worker of the queue is alive, in this process or another."""
    return any(worker.alive for worker in await store.workers())


def not_here(event: object, queue: str) -> NotFoundError:
    """Return the error for an event, an id or an arrival number that a queue does not have."""
    if isinstance(event, EventData):
        return NotFoundError(f"{event!r} is not in queue {queue!r}: append it first")
    return NotFoundError(
        f"queue {queue!r} has no event {event!s}: check the id, and whether the event was removed "
        "or is in another queue"
    )
