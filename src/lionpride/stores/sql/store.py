"""The store over a SQL database: every method of the contract, over a backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from math import inf
from typing import Any, Final
from uuid import UUID

from ...errors import NotFoundError, ValidationError
from ...model.after import After
from ...model.element import as_id
from ...model.event_data import EventData
from ...model.execution import TERMINAL, EventStatus
from ...rules.action import Action, PauseRecord, What, check_by
from ...rules.dependencies import keeps_parents
from ...rules.limits.limit_set import Limits
from ...rules.queue_position import About, QueueWorker, Room, Standing
from ...rules.state_machine import (
    FOR_EVER,
    RELEASED,
    Continued,
    Ending,
    Outcome,
    after_unstorable,
)
from ...rules.storable_text import check_text
from ..alarm import Alarm
from ..contract import (
    NO_PARENTS,
    Cancelled,
    Claim,
    Entry,
    EventTypes,
    Named,
    Relative,
    Settled,
    Settlement,
    Stuck,
    not_here,
)
from ..event_cache import CACHE_SIZE
from ..inspector import Inspector, WorkerRecord
from ..listeners import Listener, Signal, Unsubscribe
from ..maintenance import Finding, SchemaVersion
from ..record import Record
from ..schedule_record import ScheduleRecord
from ..states import States
from ..terms import Terms
from . import operations, queries
from .appending import Appended, AppendRequest, append_or_find
from .backend import CANCEL, ENDED, EXPIRES, PUBLISHED, READY, SCHEDULES, Backend
from .claiming import ClaimRequest, ClaimResult
from .codec import (
    PLAIN_COLUMNS,
    UNCHECKED_LENGTH,
    build_stored_event,
    check_event_size,
    check_new_event_size,
    check_outcome_size,
    check_response_size,
    event_row,
    loaded_event_row,
    new_event_row,
    record_event_row,
    response_json,
    state_after,
    state_entries,
)
from .continuing import ContinuedResult, settle_continued
from .leases import Reaped, register_worker, unregister_worker
from .limits import PauseRequest, Reservation, Reservations, UsageChange, put_reservations
from .local_events import ClaimedEvents
from .local_state import LocalState
from .operations import Expired, cancel_results
from .process import this_process
from .progress import ProgressPublisher, write_progress
from .queries import Snapshot
from .requests import CHUNK, ignore_error, map_in_pieces, repeat_until_done
from .resolving import Resolved, Resolver
from .rows import EMPTY_RESULT, PENDING, EventRow, ProgressRow, ReadyColumns, SettlementRow
from .schedules import ScheduleChange, ScheduleChanged, change_schedule, schedules

__all__ = ("LEASE", "SqlStore")

LEASE: Final = 10.0
"""Default length of a lease in seconds."""

REAP_INTERVAL: Final = 1.0
"""Seconds between two reaps of a process that claims."""

REAP_SIZE: Final = 1_000
"""Maximum number of events that one automatic reap returns."""

EXPIRY_RETRY: Final = 1.0
"""Seconds until expired events are finished after an attempt that failed."""

_EVERYTHING: Final = 2**62


class SqlStore:
    """Keeps the events of one queue in a SQL database.

    The methods decide what to do, and show the result in this process after the commit. The
    backend has the connections, the transactions and the reads of its database.

    Args:
        backend: The database.
        queue: Name of the queue.
        name: Name of the ``states``; by default that of the queue.
        lease: Seconds without a heartbeat after which the claims of a process expire.
        shown: Maximum number of events in ``states`` that are not running.
        retain: Number of finished events to keep, or a timedelta; None to keep all.

    Raises:
        ValidationError: if a database cannot store the name of the queue.
    """

    is_shared = True

    def __init__(
        self,
        backend: Backend,
        queue: str,
        *,
        name: str | None = None,
        lease: float = LEASE,
        shown: int = CACHE_SIZE,
        retain: int | timedelta | None = None,
    ) -> None:
        check_text("queue", queue)
        this_process()  # cached now: later there may be no free file descriptor to read it
        self.queue = queue
        self.states = States(name=name or queue)
        self._backend = backend
        self._clock = backend.clock
        self._lease = lease
        self._retain = retain
        self._reaped_at = -inf
        self._others_hold_leases = False
        self._alarm = Alarm(backend.clock, self._expire)
        self._resolver = Resolver(backend, self._resolved)
        self._local = LocalState(
            backend,
            queue,
            self.states,
            shown,
            alarm=self._alarm,
            fail=self._fail,
            reap_soon=self._reap_soon,
            resolve_soon=self._resolver.soon,
        )
        self._runnable = self._local.runnable
        self._workers = self._local.workers
        self._local_events = self._local.events
        self._listeners = self._local.listeners
        self._progress = ProgressPublisher(
            self._local_events.claims, self._write_progress, lambda: backend.largest
        )
        backend.attach(self._local)

    def time(self) -> float:
        """See ``Store.time``."""
        return self._backend.time()

    @property
    def lease(self) -> float:
        """See ``LeaseHolder``."""
        return self._lease

    @property
    def heartbeat_silence(self) -> float:
        """See ``LeaseHolder``."""
        return self._backend.heartbeat.silence if self._backend.is_open else 0.0

    @property
    def renews_leases(self) -> bool:
        """See ``LeaseHolder``."""
        return not self._backend.is_open or self._backend.heartbeat.is_healthy

    async def close(self) -> None:
        """See ``Store.close``. A later call opens the database again."""
        self._alarm.off()
        if self._backend.is_open:
            await self._progress.stop()
        await self._local.others.stop()
        await self._backend.close()
        self._local.releasing.clear()

    def _find_number(self, event: EventData) -> int:
        """Return the number of an event of this store; 0 for any other event."""
        number = event.execution.arrival or 0
        return number if self._local_events.cache.find(number) is event else 0

    def _not_here(self, event: Named) -> NotFoundError:
        return not_here(event, self.queue)

    # -- append ------------------------------------------------------------------------------

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
        """See ``Store.append``."""
        by_id = {uid.bytes: one for uid, one in after.items()}
        if connection is not None:
            rows = await self._event_rows(entries, terms)
            request = AppendRequest(rows, terms=terms, after=by_id)
            await self._backend.append_within(connection, request)
            return [event for event, _ in entries]
        if not entries:
            return []
        is_new = all("_status" not in event.__dict__ for event, _ in entries)
        if is_new and not exist_ok and terms is None:
            await self._append_new(entries, room, after)
            return [event for event, _ in entries]
        rows = await self._event_rows(entries, terms)
        foreign = [event.id.bytes for event, _ in entries if event.execution.arrival is not None]

        async def ask(request: AppendRequest) -> list[EventData]:
            held: list[EventData] = await self._backend.append(
                request, lambda result: self._appended(entries, result, terms, after)
            )
            return held

        request = AppendRequest(rows, frozenset(foreign), room, exist_ok, terms, by_id)
        held = await append_or_find(request, self._local_events, ask)
        if terms is not None:
            self._alarm.set(terms.expires)
        return held

    async def _append_new(
        self, entries: Sequence[Entry], room: int | None, after: Mapping[UUID, After]
    ) -> None:
        """Append events that have no record yet."""
        if len(entries) == 1 and not after:
            ((event, priority),) = entries
            await self.append_soon(event, priority, room)
            return
        rows = await map_in_pieces(entries, lambda entry: new_event_row(*entry))
        for row in rows:
            check_new_event_size(row, self._backend.largest)

        async def appended(result: Appended) -> None:
            self._local_events.appended_all_new(entries, result.numbers, after)
            self._backend.notify(READY)

        by_id = {uid.bytes: one for uid, one in after.items()}
        await self._backend.append(AppendRequest(rows, room=room, after=by_id), appended)

    async def _event_rows(self, entries: Sequence[Entry], terms: Terms | None) -> list[EventRow]:
        """Return the rows of events.

        Raises:
            ValidationError: if one of them is too large.
        """
        rows = await map_in_pieces(entries, lambda entry: event_row(*entry, terms=terms))
        self._check_sizes(rows)
        return rows

    def _check_sizes(self, rows: Iterable[EventRow]) -> None:
        for row in rows:
            check_event_size(row, self._backend.largest)

    async def _appended(
        self,
        entries: Sequence[Entry],
        result: Appended,
        terms: Terms | None,
        after: Mapping[UUID, After],
    ) -> list[EventData]:
        held = self._local_events.appended(entries, result, terms, after)
        self._backend.notify(READY if terms is None else READY + EXPIRES)
        return held

    def append_soon(
        self, event: EventData, priority: float, room: int | None = None
    ) -> asyncio.Future[None]:
        """See ``BufferedPath``."""
        row = new_event_row(event, priority)
        if len(row[2]) > UNCHECKED_LENGTH or len(row) > PLAIN_COLUMNS:
            check_new_event_size(row, self._backend.largest)
        return self._backend.append_soon(event, row, room)

    async def load(self, events: Sequence[EventData]) -> int:
        """See ``Store.load``."""
        if events:
            finish_time = self._backend.finish_time
            rows = await map_in_pieces(events, lambda each: loaded_event_row(each, finish_time()))
            self._check_sizes(rows)
            foreign = [event.id.bytes for event in events if event.execution.arrival is not None]
            after = {
                event.id.bytes: state.after
                for event in events
                if (state := event.execution).after is not None
                and keeps_parents(state.is_blocked, state.status, type(state.error).__name__)
            }

            async def loaded(result: Appended) -> None:
                self._local_events.loaded(events, result.numbers)
                self._backend.notify(READY + EXPIRES)

            request = AppendRequest(rows, frozenset(foreign), after=after)
            await self._backend.append(request, loaded)
            self._alarm.set(await self._backend.read(queries.next_expiry))
        return len(events)

    async def import_records(self, records: Sequence[Record]) -> int:
        """See ``Store.import_records``."""
        if records:
            finish_time = self._backend.finish_time
            rows = await map_in_pieces(records, lambda each: record_event_row(each, finish_time()))
            self._check_sizes(rows)

            async def imported(_: object) -> None:
                self._listeners.notify_ready()
                self._backend.notify(READY + EXPIRES)

            after = _recorded_parents(records)
            actions = {each.id.bytes: each.actions for each in records if each.actions}
            request = AppendRequest(rows, after=after, actions=actions)
            await self._backend.append(request, imported)
            self._alarm.set(await self._backend.read(queries.next_expiry))
        return len(records)

    # -- claim -------------------------------------------------------------------------------

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
        """See ``Store.claim``."""
        self._workers.claiming.add(worker)
        while await self._may_claim() and await self._backend.before_claim(n):
            skipped, excluded = self._runnable.not_claimed(skip, self._local_events.claims)
            how = until, skipped, denied, start, limits
            request = ClaimRequest(worker, n, self._lease, *how, excluded, self._runnable.runs)
            taken, wait = await self._claim_once(request)
            if taken.claims or not self._resolver.is_running:
                if self._others_hold_leases and (wait is None or wait > REAP_INTERVAL):
                    wait = REAP_INTERVAL  # another process may die
                taken.note_lease()
                return taken.claims, self._runnable.wait_for(wait)
            if not self._backend.claims_last:  # otherwise the next claim follows the resolver
                await self._resolver.idle()
        return [], REAP_INTERVAL

    async def _claim_once(self, request: ClaimRequest) -> tuple[ClaimedEvents, float | None]:
        """Claim events; also return the seconds until another claim may find events."""
        taken, changes = ClaimedEvents(), self._local.blocked.changes
        try:
            wait: float | None = await self._backend.claim(
                request, taken, lambda result: self._claimed(result, request, taken, changes)
            )
        except BaseException:
            taken.wanted = False
            self._release(taken)
            raise
        return taken, wait

    async def _may_claim(self) -> bool:
        """Return False if this process cannot renew its leases; else reap lapsed leases first."""
        heartbeat = self._backend.heartbeat
        if not heartbeat.is_healthy and not await heartbeat.becomes_healthy():
            return False
        if heartbeat.may_reap:
            self._reap_and_prune()
        else:
            self._others_hold_leases = True  # possibly: a later claim reaps
        return True

    async def _claimed(
        self, result: ClaimResult, request: ClaimRequest, taken: ClaimedEvents, changes: int
    ) -> float | None:
        """Show the result of a claim; return the seconds until another claim may find events."""
        wait = self._local_events.claimed(result, request.start, taken)
        if result.may_resolve:
            self._resolver.soon()
        self._runnable.missing.update(result.unknown)
        self._runnable.warn_of_missing()
        if request.limits is not None and result.reservations is not None:
            self._keep_reservations(taken.claims, request.limits, result.reservations)
            if self._local.blocked.note_claim(result.reservations.is_blocked, changes):
                wait = 0.0
        self._return_refused(request.limits, result.reservations)
        self._release(taken)
        # Last: if it fails, the claims are known, and are released.
        await self._expired(result.expired)
        return wait

    def _keep_reservations(
        self, claims: Sequence[Claim], limits: Limits, reservations: Reservations
    ) -> None:
        """Keep with each event what it reserved of the limits under which it was claimed."""
        if reservations.is_blocked:  # a limit may be set to allow more
            for limit in limits.values():
                limit.account(None).on_change(self._listeners.notify_ready)
        put_reservations(claims, limits, reservations, self._change_usage, self._clock)

    def _change_usage(self, change: UsageChange) -> None:
        self._backend.before_next_claim(self._backend.change_usage(change))

    def _release(self, taken: ClaimedEvents) -> None:
        """Release claims whose caller was cancelled, or got an error."""
        if taken.claims and not taken.wanted:
            claims, taken.claims = taken.claims, []
            self._until_done(lambda: self._settle([(*claim, RELEASED) for claim in claims]))

    def _return_refused(self, limits: Limits | None, reservations: Reservations | None) -> None:
        """Release claims that this process cannot run now, with all that they took of limits."""
        if self._runnable.is_unreported:
            self._runnable.is_unreported = False
            for worker in self._workers.names:
                self._register(worker)  # once more, so that others see it at once
        refused = self._runnable.take_refused()
        if not refused:
            return
        if limits is not None and reservations is not None:
            for one in refused:
                number, attempt = one[0], one[3] + 1
                claim = number, attempt, reservations.keys[number]
                parts = reservations.parts[number]
                Reservation(self._change_usage, self._clock, limits, claim, parts).give_back()
        self._end_claims([_as_it_waited(one) for one in refused])

    def _fail(self, claimed: ReadyColumns, error: Exception) -> None:
        """Record that a claimed event, which cannot be built, has FAILED with this error."""
        ending = Ending(EventStatus.FAILED, error=error, retryable=False, tries=1)
        number, attempt, finished = claimed[0], claimed[3] + 1, self._backend.finish_time()
        state = state_after(ending, state_entries("pending", (attempt, *claimed[4:])))
        self._end_claims([(number, attempt, "failed", 0.0, finished, claimed[2], state)])

    def _end_claims(self, rows: Sequence[SettlementRow]) -> None:
        """Settle claims of events that this process has not built, until that succeeds."""
        self._local.releasing.update((row[0], row[1]) for row in rows)
        self._until_done(lambda: self._backend.settle(rows, partial(self._ended_claims, rows)))

    async def _ended_claims(
        self, rows: Sequence[SettlementRow], answers: Sequence[Settled]
    ) -> None:
        releasing = self._local.releasing
        for number, attempt, *_ in rows:
            if releasing.get(number) == attempt:
                del releasing[number]
        is_finished = Settled.CANCELLED in answers or any(row[2] != PENDING for row in rows)
        self._backend.notify(READY + EXPIRES + (ENDED if is_finished else ""))

    def _until_done(self, ask: Callable[[], asyncio.Future[Any]]) -> None:
        """Make a request before the next claim, and repeat it if it fails, until a close."""
        session = self._backend.session

        def ask_if_open() -> asyncio.Future[Any] | None:
            if session is not self._backend.session:
                return None
            asked = ask()
            self._backend.before_next_claim(asked)
            return asked

        repeat_until_done(ask_if_open)

    def start(self, event: EventData) -> None:
        """See ``Store.start``."""
        self._local_events.start(event)
        if "_meter" in event.__dict__:
            event.__dict__["_meter"].begin()

    def holds(self, event: EventData, attempt: int) -> bool:
        """See ``Store.holds``."""
        own = event.__dict__
        if self._local_events.claims.get(own.get("_arrival", 0)) != attempt:
            return False
        if "_expires" in own and own["_expires"] <= self._clock():
            return False
        return self._backend.heartbeat.holds(own.get("_leased", 0.0))

    # -- settle ------------------------------------------------------------------------------

    def complete_soon(self, event: EventData, attempt: int, response: Any, duration: float) -> None:
        """See ``BufferedPath``."""
        own, events = event.__dict__, self._local_events
        number = own.get("_arrival", 0)
        if events.claims.get(number) != attempt or events.events.get(number) is not event:
            return  # `has`, inline
        if "_meter" in own:
            del own["_meter"]
        if response is None:
            result: str | None = EMPTY_RESULT
        else:
            result = response_json(event, response)
            is_long = result is not None and len(result) > UNCHECKED_LENGTH
            if is_long and self._is_too_large(event, attempt, result, duration):
                return
        self._backend.complete(event, attempt, response, duration, result)

    def _is_too_large(
        self, event: EventData, attempt: int, result: str | None, duration: float
    ) -> bool:
        """Return True if a response is too large to be stored: then the event fails."""
        try:
            check_response_size(event.id, result, self._backend.largest)
        except ValidationError as error:
            self._refuse_response(event, attempt, error, duration)
            return True
        return False

    def _refuse_response(
        self, event: EventData, attempt: int, refusal: ValidationError, duration: float
    ) -> None:
        """Record that an event has FAILED, and notify the observers, as no worker does that."""
        failed = [(event, attempt, after_unstorable(refusal, duration))]

        def ask() -> asyncio.Future[Any] | None:
            if not self._backend.is_open:
                return None
            asked = self._settle(failed)
            asked.add_done_callback(notify)
            return asked

        def notify(asked: asyncio.Future[Any]) -> None:
            is_done = not asked.cancelled() and asked.exception() is None
            if is_done and asked.result()[0].is_recorded:
                self._listeners.notify_expired(event, EventStatus.PROCESSING)

        repeat_until_done(ask)

    async def settled(self) -> None:
        """See ``BufferedPath``."""
        await self._backend.flush()

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        """See ``Store.settle``."""
        continued = [each for each in settlements if isinstance(each[2], Continued)]
        if not continued:
            answers: list[Settled] = await self._settle(settlements)
        elif len(settlements) == 1:
            answers = [await self._settle_continued(*settlements[0])]
        else:
            answers = [(await self.settle([each]))[0] for each in settlements]
        await self._resolver.idle()
        return answers

    async def _settle_continued(self, event: EventData, attempt: int, outcome: Outcome) -> Settled:
        """Record an outcome, and append what continues the event."""
        assert isinstance(outcome, Continued)
        settlement, events = (event, attempt, outcome), self._local_events
        row = events.settling(settlement, self._backend.finish_time())
        rows = await self._event_rows(outcome.entries, None)
        after = {uid.bytes: one for uid, one in outcome.after.items()}
        request = AppendRequest(rows, after=after)

        async def settled(result: ContinuedResult) -> Settled:
            if result.numbers:
                appended = Appended(result.numbers, result.known)
                await self._appended(outcome.entries, appended, None, outcome.after)
            return (await self._settled([settlement], [result.settled]))[0]

        await self._backend.flush()  # what the attempt uses of limits, it uses before it ends
        work = partial(settle_continued, row=row, request=request)
        answer: Settled = await self._backend.run(work, settled)
        return answer

    def _settle(self, settlements: Sequence[Settlement]) -> asyncio.Future[Any]:
        """Record outcomes.

        Raises:
            ValidationError: if one of them is too large.
        """
        finish_time = self._backend.finish_time
        rows = [self._local_events.settling(each, finish_time()) for each in settlements]
        for (event, _, _), row in zip(settlements, rows, strict=True):
            check_outcome_size(event.id, row, self._backend.largest)
        self._pause_limits(settlements)
        return self._backend.settle(rows, lambda answers: self._settled(settlements, answers))

    def _pause_limits(self, settlements: Iterable[Settlement]) -> None:
        """Pause the limits of which a service has too many requests, before the settlement."""
        for event, attempt, outcome in settlements:
            if isinstance(outcome, Ending) and (pause := outcome.pause) is not None:
                kept: Reservation | None = event.__dict__.get("_meter")
                account = None if kept is None else kept.pool(pause)
                number, until = self._find_number(event), self._clock() + pause.seconds
                self._change_usage(PauseRequest(number, attempt, account, until))

    async def _settled(
        self, settlements: Sequence[Settlement], answers: list[Settled]
    ) -> list[Settled]:
        events = self._local_events
        numbers = [event.__dict__.get("_arrival", 0) for event, _, _ in settlements]
        lost = [
            number
            for number, (event, attempt, _), answer in zip(
                numbers, settlements, answers, strict=True
            )
            if not answer.is_recorded and events.has(number, event, attempt)
        ]
        if lost:
            await self._backend.prefetch(lost)
        self._backend.invalidate(numbers)
        events.settled(settlements, answers)
        changes: set[str] = set()
        for (event, _, outcome), answer in zip(settlements, answers, strict=True):
            if answer.is_recorded:
                event.__dict__.pop("_meter", None)
            if outcome.status is EventStatus.PENDING and answer is not Settled.CANCELLED:
                changes.add(READY)
                if (expires := event.execution.expires) is not None:
                    self._alarm.set(expires)
                    changes.add(EXPIRES)
            else:
                changes.add(ENDED)
        if changes:
            self._backend.notify("".join(sorted(changes)))
        self._local.blocked.note_change()
        return answers

    # -- leases that lapse, and events that expire -------------------------------------------

    async def reap(self, limit: int = REAP_SIZE) -> int:
        """See ``Store.reap``."""
        count: int = await self._backend.reap(limit, lambda: True, self._reaped)
        await self._resolver.idle()
        return count

    def _reap_soon(self) -> None:
        """Make the next claim reap first."""
        self._reaped_at, self._others_hold_leases = -inf, True

    def _reap_and_prune(self) -> None:
        """Reap lapsed leases and remove old finished events, at intervals."""
        now = self._backend.lease_time()
        if abs(now - self._reaped_at) < REAP_INTERVAL:  # the clock may have been set back
            return
        self._reaped_at = now
        heartbeat = self._backend.heartbeat
        reap = self._backend.reap(REAP_SIZE, lambda: heartbeat.may_reap, self._reaped)
        reap.add_done_callback(ignore_error)
        if self._retain is not None:
            keep = self._retain if isinstance(self._retain, int) else None
            age = self._retain.total_seconds() if isinstance(self._retain, timedelta) else None
            work = partial(operations.retain, keep=keep, age=age, limit=CHUNK)
            pruned = self._backend.run(work, self._pruned, is_prune=True)
            pruned.add_done_callback(ignore_error)

    async def _reaped(self, reaped: Reaped) -> int:
        self._others_hold_leases = reaped.others
        await self._local.refresh(reaped.numbers)
        if reaped.numbers:
            # Another process may have finished the rest by now.
            for event in self._events_of(reaped.finished).values():
                if event.execution.status in TERMINAL:
                    self._listeners.notify_expired(event, EventStatus.PROCESSING)
            self._listeners.notify_ready()
            self._backend.notify(READY + ENDED + EXPIRES)
        for worker in self._workers.registered - self._workers.leaving - reaped.registered:
            self._register(worker)  # it was stopped for so long that its row was deleted
        return len(reaped.numbers)

    async def _pruned(self, numbers: Sequence[int]) -> None:
        self._local.forget(numbers)
        if len(numbers) == CHUNK:
            self._reaped_at = -inf  # there may be more: continue with the next claim

    def _expire(self) -> None:
        """Finish events that were not started in time; called by the alarm."""
        if self._backend.is_open:
            self._backend.run(operations.expire, self._expired).add_done_callback(self._try_again)

    def _try_again(self, expired: asyncio.Future[Any]) -> None:
        """Set the alarm again, if expired events could not be finished."""
        is_failed = expired.cancelled() or expired.exception() is not None
        if is_failed and self._backend.is_open:
            self._alarm.set(self._clock() + EXPIRY_RETRY)

    async def _expired(self, expired: Expired) -> int:
        """Show expired events; set the alarm for the next expiry."""
        if expired.numbers:
            own = self._events_of(expired.numbers)
            await self._local.refresh(own)
            self._listeners.notify_capacity()
            self._listeners.notify_finished(expired.numbers)
            for event in own.values():
                self._listeners.notify_expired(event, EventStatus.PENDING)
            self._backend.notify(ENDED)
        self._alarm.set(expired.next)
        return len(expired.numbers)

    async def _resolved(self, resolved: Resolved) -> Resolved:
        """Show children that were released, cancelled, or returned to the queue."""
        retried = self._local_events.released(resolved.released)
        changed = [*resolved.cancelled, *resolved.waiting]
        if changed or retried:
            await self._local.refresh([*retried, *self._events_of(changed)])
            self._listeners.notify_finished(resolved.cancelled)
            for event in self._events_of(resolved.waiting).values():
                self._listeners.notify_expired(event, EventStatus.CANCELLED)
            for event in self._events_of(resolved.cancelled).values():
                self._listeners.notify_expired(event, EventStatus.PENDING)
        if changed or resolved.released:
            self._backend.notify(READY + (ENDED if resolved.cancelled else ""))
        if changed or resolved.released or resolved.has_locked_ready:
            self._listeners.notify_ready()
        if resolved.cancelled:
            self._listeners.notify_capacity()
        self._backend.notify_queues(resolved.other_queues)
        return resolved

    def _events_of(self, numbers: Iterable[int]) -> dict[int, EventData]:
        """Return the events that this process has, by number."""
        found = {number: self._local_events.cache.find(number) for number in numbers}
        return {number: event for number, event in found.items() if event is not None}

    # -- admin -------------------------------------------------------------------------------

    async def cancel(self, events: Sequence[Named], *, by: str | None = None) -> list[Cancelled]:
        """See ``Store.cancel``."""
        action = self._action("cancel", by)
        numbers = await self._numbers(events)

        async def cancelled(results: dict[int, Cancelled]) -> list[Cancelled]:
            answers = cancel_results(numbers, results)
            await self._local.refresh(
                n for n, each in zip(numbers, answers, strict=True) if each is Cancelled.DONE
            )
            running = [n for n in numbers if n in self._local_events.claims]
            self._local.others.cancel_running(running)
            self._backend.notify(CANCEL + ENDED)
            return answers

        work = partial(operations.cancel, numbers=numbers, action=action)
        answers: list[Cancelled] = await self._backend.run(work, cancelled)
        await self._resolver.idle()
        return answers

    def _action(self, what: What, by: str | None) -> Action | None:
        """Return the record of an action; None if the caller has given no name."""
        check_by(by)
        return None if by is None else Action(what, by, self.time())

    async def retry(self, events: Sequence[Named], *, by: str | None = None) -> None:
        """See ``Store.retry``."""
        action = self._action("retry", by)
        numbers = list(dict.fromkeys(await self._numbers(events)))

        async def retried(_: object) -> None:
            await self._local.refresh(numbers)
            self._listeners.notify_ready()
            self._backend.notify(READY + EXPIRES)

        work = partial(operations.retry, numbers=numbers, action=action)
        await self._backend.run(work, retried)
        await self._resolver.idle()

    async def remove(self, events: Sequence[Named]) -> None:
        """See ``Store.remove``."""
        numbers = await self._numbers(events)

        async def removed(_: object) -> None:
            self._local.forget(numbers)
            self._backend.notify(ENDED)

        await self._backend.run(partial(operations.remove, numbers=numbers), removed)

    async def prune(
        self,
        statuses: Collection[EventStatus],
        *,
        limit: int | None = None,
        before: float | None = None,
    ) -> list[EventData]:
        """See ``Store.prune``."""
        wanted = [each.value for each in EventStatus if each in TERMINAL and each in statuses]
        gone: list[EventData] = []

        async def pruned(numbers: list[int]) -> int:
            gone.extend(self._local.forget(numbers))
            return len(numbers)

        left = _EVERYTHING if limit is None else limit
        while left > 0:
            most, until = min(left, CHUNK), inf if before is None else before
            work = partial(operations.prune, statuses=wanted, limit=most, before=until)
            count: int = await self._backend.run(work, pruned, is_prune=True)
            left -= count
            if count < CHUNK:
                break
        return gone

    async def pause(self, until: float = FOR_EVER, *, by: str | None = None) -> None:
        """See ``Store.pause``."""
        check_by(by)

        async def paused(_: object) -> None:
            self._listeners.notify_ready()
            self._backend.notify(READY)

        kept = None if 0.0 < until < FOR_EVER else by
        await self._backend.run(partial(operations.pause, until=until, by=kept), paused)

    async def change_schedule(
        self,
        old: ScheduleRecord | None,
        new: ScheduleRecord | None,
        *,
        events: Sequence[Record] = (),
        after: Mapping[UUID, After] = NO_PARENTS,
        room: int | None = None,
    ) -> bool:
        """See ``Store.change_schedule``."""
        rows = [record_event_row(record, 0.0) for record in events]
        self._check_sizes(rows)
        parents = {uid.bytes: one for uid, one in after.items()}
        change = ScheduleChange.of(old, new, rows, parents, room)

        async def changed(result: ScheduleChanged) -> bool:
            if result.is_made:
                self._listeners.notify_schedules()
                self._backend.notify(SCHEDULES + READY + EXPIRES if rows else SCHEDULES)
                if rows:
                    self._listeners.notify_ready()
                    self._alarm.set(
                        min((row.state[-1] for row in rows if row.state[-1]), default=None)
                    )
            return result.is_made

        made: bool = await self._backend.run(partial(change_schedule, change=change), changed)
        return made

    async def schedules(self) -> list[ScheduleRecord]:
        """See ``Store.schedules``."""
        return await self._backend.read(schedules)

    async def paused_until(self) -> float:
        """See ``Store.paused_until``."""
        return await self._backend.read(queries.paused_until)

    async def pause_record(self) -> PauseRecord | None:
        """See ``Store.pause_record``."""
        return await self._backend.read(queries.pause_record)

    async def resume_record(self) -> PauseRecord | None:
        """See ``Store.resume_record``."""
        return await self._backend.read(queries.resume_record)

    async def _numbers(self, events: Sequence[Named]) -> list[int]:
        """Return the numbers of events that this process has, or that are given by id.

        Raises:
            NotFoundError: if one is not here.
        """
        events = [each if isinstance(each, EventData) else as_id(each) for each in events]
        ids = [each for each in events if isinstance(each, UUID)]
        found = await self._backend.read(partial(queries.numbers_of, ids=ids)) if ids else {}
        numbers = []
        for event in events:
            if isinstance(event, EventData):
                number = self._find_number(event)
            else:
                number = found.get(as_id(event), 0)
            if not number:
                raise self._not_here(event)
            numbers.append(number)
        return numbers

    # -- queries -----------------------------------------------------------------------------

    async def counts(self) -> dict[EventStatus, int]:
        """See ``Store.counts``."""
        counts = await self._backend.read(queries.counts)
        if not counts[EventStatus.PENDING] and not counts[EventStatus.PROCESSING]:
            await self._local.refresh(self._unfinished())
        return counts

    def _unfinished(self) -> list[int]:
        """Return the numbers of unfinished events that this process shows and has not claimed."""
        lanes = self.states.lane(EventStatus.PENDING), self.states.lane(EventStatus.PROCESSING)
        claims = self._local_events.claims
        return [number for lane in lanes for number in lane if number not in claims]

    async def list_records(
        self, status: EventStatus | None = None, *, after: int | None = None, limit: int = 100
    ) -> list[Record]:
        """See ``Store.list_records``."""
        found: list[Record] = []
        last = after or 0
        while len(found) < limit:
            size = min(CHUNK, limit - len(found))
            page = await self._backend.read(
                partial(queries.page, status=status, after=last, limit=size), is_snapshot=True
            )
            found += map(self._as_known, page)
            if len(page) < size:
                break
            last = page[-1].number
            await asyncio.sleep(0)  # other tasks run between two reads
        return found

    async def get(self, ids: Iterable[UUID | str]) -> list[Record | None]:
        """See ``Store.get``."""
        wanted = [as_id(each) for each in ids]
        found = await self._backend.read(partial(queries.records, ids=wanted), is_snapshot=True)
        return [self._as_known(found[uid]) if uid in found else None for uid in wanted]

    def _as_known(self, record: Record) -> Record:
        """Return a record in the state that this process knows, if it has claimed the event."""
        events = self._local_events
        is_own = (
            record.status is EventStatus.PROCESSING
            and events.claims.get(record.number) == record.attempt
        )
        event = events.cache.find(record.number) if is_own else None
        if event is None:
            return record
        return replace(Record.of(event, self.queue, record.status), actions=record.actions)

    async def find(self, uid: UUID | str) -> EventData | None:
        """See ``Store.find``."""
        uid = as_id(uid)
        if number := (await self._backend.read(partial(queries.numbers_of, ids=[uid]))).get(uid):
            if self._local_events.cache.find(number) is None:
                await self._backend.prefetch([number], whole=True)
            return self._local_events.find(number)
        gone = self.states.find(uid)
        if gone is not None and gone.execution.arrival is not None:
            await self._local.refresh([gone.execution.arrival])  # another process has removed it
        return None

    async def parents(self, event: Named, *, first: int = 0, limit: int = 100) -> list[Relative]:
        """See ``Store.parents``."""
        (number,) = await self._numbers([event])
        page = partial(queries.parents, number=number, first=first, limit=limit)
        return await self._relatives(page)

    async def parent_events(
        self, event: Named, *, first: int = 0, limit: int = 100
    ) -> list[tuple[int, EventData]]:
        """See ``Store.parent_events``."""
        (number,) = await self._numbers([event])
        page = partial(queries.parent_rows, number=number, first=first, limit=limit)
        found = await self._backend.read(page, is_snapshot=True)
        return [(place, build_stored_event(stored)) for place, stored in found]

    async def parent_counts(self, event: Named) -> dict[EventStatus, int]:
        """See ``Store.parent_counts``."""
        (number,) = await self._numbers([event])
        return await self._backend.read(partial(queries.parent_counts, number=number))

    async def children(self, event: Named, *, first: int = 0, limit: int = 100) -> list[Relative]:
        """See ``Store.children``."""
        (number,) = await self._numbers([event])
        page = partial(queries.children, number=number, first=first, limit=limit)
        return await self._relatives(page)

    async def _relatives(
        self, page: Callable[[Snapshot], Coroutine[Any, Any, list[Relative]]]
    ) -> list[Relative]:
        found = await self._backend.read(page, is_snapshot=True)
        return [one._replace(record=self._as_known(one.record)) for one in found]

    async def last_arrival(self) -> int:
        """See ``Store.last_arrival``."""
        return await self._backend.read(queries.last_arrival)

    async def queues(self) -> list[str]:
        """Return the names of all queues in the database."""
        return await self._backend.read(queries.queues)

    async def explain(self, uid: UUID, limits: Limits | None = None) -> Standing | None:
        """See ``Store.explain``."""
        with_own = partial(self._workers.with_own, frozenset(self._workers.leaving))
        return await self._backend.read(
            partial(queries.explain, uid=uid, limits=limits, with_own=with_own), is_snapshot=True
        )

    async def limit_usage(self, limits: Limits | None = None) -> list[Room]:
        """See ``Store.limit_usage``."""
        with_own = partial(self._workers.with_own, frozenset(self._workers.leaving))
        return await self._backend.read(
            partial(queries.limit_usage, limits=limits, with_own=with_own), is_snapshot=True
        )

    # -- workers -----------------------------------------------------------------------------

    def register_worker(
        self,
        worker: str,
        cancel: Callable[[EventData], object],
        about: Callable[[], About] | None = None,
    ) -> None:
        """See ``Store.register_worker``."""
        self._workers.add(worker, cancel, about)
        self._register(worker)
        self._keep_alive()

    def _register(self, worker: str) -> None:
        """Write a worker with its description to the database, before the next claim."""

        async def registered(_: object) -> None:
            if worker in self._workers.names:
                self._workers.registered.add(worker)

        description = self._workers.description_sources()[worker]()
        work = partial(register_worker, worker=worker, seconds=self._lease, description=description)
        self._backend.before_next_claim(self._backend.run(work, registered))

    def unregister_worker(self, worker: str) -> None:
        """See ``Store.unregister_worker``."""
        if self._workers.remove(worker):

            async def unregistered(_: object) -> None:
                self._workers.leaving.discard(worker)

            asked = self._backend.run(partial(unregister_worker, worker=worker), unregistered)
            asked.add_done_callback(ignore_error)
            self._keep_alive()
        self._listeners.notify_idle()

    def _keep_alive(self) -> None:
        """Renew the leases of the current workers from now on."""
        self._backend.heartbeat.renew_for(self._workers.description_sources())
        self._backend.watch()

    async def workers(self) -> list[WorkerRecord]:
        """See ``Store.workers``."""
        leaving = frozenset(self._workers.leaving)
        stored = await self._backend.read(queries.worker_records, is_snapshot=True)
        return self._workers.records_with_own(leaving, stored)

    async def _other_workers(self) -> list[QueueWorker]:
        """Return the live workers of the queue in other processes."""
        own = self._workers.names | self._workers.leaving
        live = await self._backend.read(queries.live_workers, is_snapshot=True)
        return [worker for worker in live if worker.name not in own]

    # -- event types that this process does not run ------------------------------------------

    @property
    def event_types(self) -> EventTypes:
        """See ``Store.event_types``."""
        return self._runnable

    async def stuck(self) -> list[Stuck]:
        """See ``Store.stuck``."""
        types, numbers = self._runnable.skipped()
        if not self._runnable:
            return []
        others = [worker.about for worker in await self._other_workers()]
        if not all(about is not None and about.may_be_stuck for about in others):
            return []
        counts = await self._backend.read(
            partial(queries.ready_types, types=types, numbers=numbers)
        )
        if not counts:
            return []
        if not all(about is not None and about.can_run_none_of(counts) for about in others):
            return []
        return self._runnable.stuck(counts)

    # -- live progress -----------------------------------------------------------------------

    def publish(self, event: EventData, attempt: int) -> None:
        """See ``Store.publish``."""
        number = self._find_number(event)
        if number and self._local_events.has(number, event, attempt):
            self._progress.publish(number, event, attempt)

    def _write_progress(
        self, progress: Sequence[ProgressRow], ended: Sequence[tuple[int, int]]
    ) -> asyncio.Future[Any]:
        """Write the progress of attempts, and delete that of ended attempts."""

        async def written(_: object) -> None:
            self._backend.notify(PUBLISHED)

        work = partial(write_progress, progress=progress, ended=ended)
        return self._backend.run(work, written)

    async def published(
        self, event: EventData, attempt: int, first: int
    ) -> tuple[int, list[Any]] | None:
        """See ``Store.published``."""
        number = self._find_number(event)
        if not number or number in self._local_events.claims:
            return None  # if it runs, it runs here
        return await self._backend.read(
            partial(queries.chunks, number=number, attempt=attempt, first=first), is_snapshot=True
        )

    # -- listeners ---------------------------------------------------------------------------

    def subscribe(
        self,
        signal: Signal,
        listener: Listener,
        *,
        event: EventData | None = None,
        once: bool = False,
    ) -> Unsubscribe:
        """See ``Store.subscribe``."""
        number = None
        if event is not None:
            number = self._find_number(event)
            if not number:
                raise self._not_here(event)
            self._backend.check()
        unsubscribe = self._listeners.subscribe(signal, listener, number=number, once=once)
        if number is not None:
            self._local.others.check_soon(number)
        if signal not in (Signal.EXPIRED, Signal.FAILED):
            self._backend.watch()
        return unsubscribe

    # -- monitoring and maintenance ----------------------------------------------------------

    @property
    def inspector(self) -> Inspector:
        """Queries for monitoring."""
        return self._backend.inspector

    async def schema(self) -> SchemaVersion:
        """See ``Maintenance``."""
        return await self._backend.schema()

    async def upgrade(self) -> SchemaVersion:
        """See ``Maintenance``."""
        return await self._backend.upgrade()

    async def examine(self) -> list[Finding]:
        """See ``Maintenance``."""
        return await self._backend.examine()


def _recorded_parents(records: Iterable[Record]) -> dict[bytes, After]:
    """Return the parents of events that wait for them, or were cancelled for one of them."""
    return {
        each.id.bytes: After.from_dict(parents)
        for each in records
        if (parents := each.payload.get("execution", {}).get("after"))
        and keeps_parents(parents.get("blocked", False), each.status, queries.error_name(each))
    }


def _as_it_waited(claimed: ReadyColumns) -> SettlementRow:
    """Return the settlement that returns a claimed event unchanged except for its attempt."""
    number, due, priority, attempt, *rest = claimed
    state: Any = (attempt + 1, *rest)
    return number, attempt + 1, "pending", due, 0.0, priority, state
