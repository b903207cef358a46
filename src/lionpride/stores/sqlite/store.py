"""Store in one SQLite file: the rows are the data, and a commit makes a change durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from ...model.execution import EventStatus
from ...model.work import Work
from ...rules.lifecycle import RELEASED
from ...rules.metering import Limits
from ..append_checks import refuse_connection
from ..clock import boot_time, steady
from ..contract import Claim, Entry, Settled, Settlement
from ..record import Record
from ..sql import operations
from ..sql.appending import append_or_find
from ..sql.codec import (
    PLAIN_COLUMNS,
    UNCHECKED_LENGTH,
    attempts_json,
    check_event_size,
    check_new_event_size,
    event_row,
    loaded_event_row,
    new_event_row,
    record_event_row,
    response_json,
)
from ..sql.leases import Reap, Reaped, reap
from ..sql.limits import LimitedClaim, UsageChange, change_usage
from ..sql.local import CHUNK, by_and_by, heard
from ..sql.local_events import ClaimedEvents
from ..sql.rows import EMPTY_RESULT
from ..sql.seen_heartbeats import SeenHeartbeats
from ..terms import Terms
from . import hot_path, steps
from .entering import Append, Enter
from .manage import Manage
from .transaction import Operation

__all__ = ("SqliteStore",)

_SWEEP: Final = 1.0
"""Seconds between two looks for leases that have lapsed."""


class SqliteStore(Manage):
    """Keeps the events of one queue in a file, which many processes of a machine can share.

    Args:
        path: Path of the file; it is created if it does not exist.
        queue: Name of the queue.
        name: Name of the ``states``; by default that of the queue.
        synchronous: "FULL": commits survive a power cut. "NORMAL": commits survive a killed
            process; a power cut may lose the last ones, each as a whole.
        lease: Seconds without a heartbeat after which the claims of a process expire.
        patience: Seconds to wait for another program that is writing to the file.
        shown: Maximum number of pending or finished events in ``states``: the newest that were
            appended or settled here.
        retain: Number of finished events to keep, or a timedelta; None to keep all.
        mode: Permissions of a new file, its log and its lock file. The permissions of an existing
            file are not changed.
        clock: Returns the time as a Unix timestamp in seconds; by default the machine's clock. If
            the event loop's time is virtual, scheduled events follow the loop's clock.

    Raises:
        ConfigurationError: if an option is invalid; nothing is opened or created then.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._swept = 0.0
        # A given clock decides alone.
        self._seen = None if kwargs.get("clock") else SeenHeartbeats(self._lease)
        self._others = False  # others hold leases

    # -- taking in ---------------------------------------------------------------------------

    async def append(
        self,
        entries: Sequence[Entry],
        *,
        room: int | None = None,
        exist_ok: bool = False,
        terms: Terms | None = None,
        connection: Any = None,
    ) -> list[Work]:
        refuse_connection(connection)
        new = all("_status" not in event.__dict__ for event, _ in entries)
        if new and not exist_ok and terms is None:
            await self._enter(entries, room)  # nobody has had them
            return [event for event, _ in entries]
        foreign = [event.id.bytes for event, _ in entries if event.execution.arrival is not None]
        places = await by_and_by(entries, lambda entry: event_row(*entry, terms=terms))
        step = Append(places, frozenset(foreign), room, exist_ok, terms)

        async def ask() -> list[Work]:
            held: list[Work] = await self._append(
                len(places),
                step,
                lambda answer: self._local_events.appended(entries, answer, terms),
            )
            return held

        async def see(_: Sequence[int]) -> None:
            """Read nothing ahead: the file is read when it is asked."""

        held = await append_or_find(step, self._local_events, ask, see)
        if terms is not None:
            self._alarm.set(terms.expires)
        return held

    async def _enter(self, entries: Sequence[Entry], room: int | None) -> None:
        """Take in events with nothing on record."""
        if len(entries) == 1:
            ((event, priority),) = entries
            await self.append_soon(event, priority, room)
        elif entries:
            fresh = await by_and_by(entries, lambda entry: new_event_row(*entry))
            for one in fresh:
                check_new_event_size(one, self._largest)
            await self._append(
                len(fresh),
                Enter(fresh, room),
                lambda numbers: self._local_events.entered_all(entries, numbers),
            )

    async def _append(self, size: int, step: Append | Enter, then: Callable[[Any], Any]) -> Any:
        if isinstance(step, Append):
            for place in step.places:
                check_event_size(place, self._largest)
        if size > CHUNK:
            return await self._open.commits.append(size, step, then)
        self._listeners.notify_ready()
        return await self._ask(step, then)

    async def load(self, events: Sequence[Work]) -> int:
        if events:
            places = await by_and_by(events, lambda event: loaded_event_row(event, self._ending()))
            held = [event.id.bytes for event in events if event.execution.arrival is not None]
            step = Append(places, frozenset(held))
            await self._append(
                len(places), step, lambda answer: self._local_events.loaded(events, answer)
            )
            self._alarm.set(self._read(lambda reader: reader.next_expiry()))
        return len(events)

    async def import_records(self, records: Sequence[Record]) -> int:
        if records:
            places = await by_and_by(
                records, lambda record: record_event_row(record, self._ending())
            )
            await self._append(
                len(places), Append(places), lambda _: self._listeners.notify_ready()
            )
            self._alarm.set(self._read(lambda reader: reader.next_expiry()))
        return len(records)

    # -- claiming ----------------------------------------------------------------------------

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
        if not await self._may_claim():
            return [], _SWEEP
        length, taken = self._lease, ClaimedEvents()

        def lapse() -> float:
            taken.until = boot_time() + length
            return self._wall() + length

        passed, avoided = self._not_claimed(skip)
        has, missing = self._local_events.cache.has, self._still_missing()
        step: steps.Step
        if limits is None:
            how = until, passed, denied, start
            clock, expire = steady(self._clock), self._expiring()
            step = hot_path.Claim(
                worker, n, *how, has, missing, self.runs, avoided, expire, clock, lapse
            )
        else:
            excluded = frozenset(missing | avoided)
            how = until, tuple(passed), denied, start
            request = LimitedClaim(worker, n, length, *how, limits, self.runs, excluded)
            step = steps.LimitedStep(request, self._clocks(), has, missing, self._expiring(), taken)
        try:
            wait: float | None = await self._ask(
                step, lambda answer: self._claimed(answer, start, taken, limits)
            )
        except asyncio.CancelledError:
            taken.wanted = False  # nobody waits for them any more
            self._release(taken)
            raise
        if self._others and (wait is None or wait > _SWEEP):
            wait = _SWEEP  # another process may die
        taken.note_lease()
        return taken.claims, self._wait_for(wait)

    async def _may_claim(self) -> bool:
        """Return False if this process cannot renew its leases; else reap lapsed leases first."""
        now, heartbeat = (
            self._wall(),
            self._open.heartbeat,
        )  # the time first: a stop may come in between
        if not heartbeat.is_healthy and not await heartbeat.becomes_healthy():
            return False
        if heartbeat.may_reap:
            self._tidy(now)
        else:
            self._others = True  # there may be some: a later claim reaps
        return True

    def _claimed(
        self, answer: hot_path.Claimed, start: bool, taken: ClaimedEvents, limits: Limits | None
    ) -> float | None:
        self._warn_of_missing()
        self._expired(answer.expired)
        wait = self._local_events.claimed(answer, start, taken)
        if limits is not None and answer.rationed is not None:
            self._blocked = int(answer.rationed.is_blocked)
            self._keep_reservations(taken.claims, limits, answer.rationed)
        self._give_back_unrunnable(limits, answer.rationed)
        self._release(taken)
        return wait

    def _release(self, taken: ClaimedEvents) -> None:
        """Give back what nobody waits for."""
        if taken.claims and not taken.wanted:
            claims, taken.claims = taken.claims, []
            self._until_done(lambda: self._settle([(*claim, RELEASED) for claim in claims]))

    def _change_usage(self, change: UsageChange) -> None:
        step = self._operation(partial(change_usage, change=change), is_usage=True)
        self._ask(step).add_done_callback(heard)

    # -- settling ----------------------------------------------------------------------------

    def complete_soon(self, event: Work, attempt: int, response: Any, duration: float) -> None:
        """See ``BufferedPath``."""
        own = event.__dict__
        number: int = own.get("_arrival", 0)
        holding = self._local_events
        if holding.claims.get(number) != attempt or holding.events.get(number) is not event:
            return  # `has`, written out
        if "_meter" in own:
            del own["_meter"]
        if response is None:
            result: str | None = EMPTY_RESULT
        else:
            result = response_json(event, response)
            long = result is not None and len(result) > UNCHECKED_LENGTH
            if long and self._is_too_large(event, attempt, result, duration):
                return
        ended = self._wall()
        if ended <= self._last_ending:
            ended = self._last_ending + 1e-6
        self._last_ending = ended
        tries, interruptions = own.get("_tries", 0), own.get("_interruptions", 0)
        attempts = attempts_json(own) if "_attempts" in own else None
        columns = number, attempt, ended, duration, result, tries, interruptions, attempts
        file = self._open if self._file is None else self._file
        file.commits.exit((event, response, columns))

    def append_soon(
        self, event: Work, priority: float, room: int | None = None
    ) -> asyncio.Future[None]:
        """See ``BufferedPath``."""
        fresh = new_event_row(event, priority)
        if len(fresh[2]) > UNCHECKED_LENGTH or len(fresh) > PLAIN_COLUMNS:
            check_new_event_size(fresh, self._largest)
        self._listeners.notify_ready()  # now, so that a claim comes in time for the same commit
        file = self._open if self._file is None else self._file
        return file.commits.enter(event, fresh, room)

    async def settled(self) -> None:
        """See ``BufferedPath``."""
        await self._open.commits.quiet()

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        answers: list[Settled] = await self._settle(settlements)
        return answers

    def _settle(self, settlements: Sequence[Settlement]) -> asyncio.Future[Any]:
        settling = self._settling(settlements, self._ending)
        self._pause(settlements)
        return self._ask(
            steps.Settle(settling, self._clocks()),
            lambda answers: self._settled(settlements, answers),
        )

    def _settled(self, settlements: Sequence[Settlement], answers: list[Settled]) -> list[Settled]:
        self._local_events.settled(settlements, answers)
        for (event, _, outcome), answer in zip(settlements, answers, strict=True):
            if answer.is_recorded:
                event.__dict__.pop("_meter", None)
            if outcome.status is EventStatus.PENDING:
                self._alarm.set(event.execution.expires)
        return answers

    async def reap(self, limit: int = 1000) -> int:
        count: int = await self._ask(self._reap(limit, lambda: True), self._reaped)
        return count

    def _reap(self, limit: int, may_reap: Callable[[], bool]) -> Operation:
        workers = frozenset(self._workers)
        request = Reap(workers, self._lease, may_reap, workers, seen=self._seen, limit=limit)
        return self._operation(partial(reap, request=request))

    def _reaped(self, reaped: Reaped) -> int:
        self._others = reaped.others
        self._local_events.refresh(reaped.numbers)
        if reaped.numbers:
            self._tell_swept(reaped.finished)  # another process may have finished the rest by now
            self._listeners.notify_ready()
        return len(reaped.numbers)

    def _tidy(self, now: float) -> None:
        """Look now and then for leases that have lapsed, and for endings that are too old."""
        if abs(now - self._swept) < _SWEEP:  # the clock may have been set back
            return
        self._swept = now
        step = self._reap(1000, lambda: self._open.heartbeat.may_reap)
        self._ask(step, self._reaped).add_done_callback(heard)
        if self._retain is not None:
            keep = self._retain if isinstance(self._retain, int) else None
            age = self._retain if isinstance(self._retain, timedelta) else None
            seconds = None if age is None else age.total_seconds()
            work = partial(operations.retain, keep=keep, age=seconds, limit=CHUNK)
            step = self._operation(work, is_prune=True)
            self._ask(step, self._retained).add_done_callback(heard)

    def _retained(self, numbers: list[int]) -> None:
        self._local_events.drop(numbers)
        if len(numbers) == CHUNK:
            self._swept = 0.0  # there may be more: go on with the next claim
