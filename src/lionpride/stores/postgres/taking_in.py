"""Taking events in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ...errors import OperationError, StoreError
from ...model.work import Work
from ..contract import Entry
from ..record import Record
from ..sql.appending import append_or_find
from ..sql.codec import (
    UNCHECKED_LENGTH,
    check_event_size,
    check_new_event_size,
    event_row,
    exceeds_statement,
    is_plain,
    loaded_event_row,
    new_event_row,
    record_event_row,
)
from ..sql.local import by_and_by
from ..sql.rows import EventRow
from ..sql.rows import QueuedAppend as Entering
from ..terms import Terms
from . import queries
from .entering import Append, Enter
from .hot_append import append_new
from .joining import insert_within
from .news import EXPIRES, READY
from .watching import Watching

__all__ = ("TakingIn",)

logger = logging.getLogger("lionpride")

HINTS: Final = (0.02, 0.2, 1.0)
"""Seconds after an append in another's transaction at which workers are told to look."""


class TakingIn(Watching):
    """The part of ``PostgresStore`` that takes events in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._large_ids: frozenset[bytes] = frozenset()  # on their way in, in a large append

    async def append(
        self,
        entries: Sequence[Entry],
        *,
        room: int | None = None,
        exist_ok: bool = False,
        terms: Terms | None = None,
        connection: Any = None,
    ) -> list[Work]:
        if not entries:
            return []
        if connection is not None:
            await self._append_within(connection, entries, terms)
            return [event for event, _ in entries]
        new = all("_status" not in event.__dict__ and is_plain(event) for event, _ in entries)
        if new and not exist_ok and terms is None:
            await self._enter(entries, room)  # nobody has had them
            return [event for event, _ in entries]
        foreign = [event.id.bytes for event, _ in entries if event.execution.arrival is not None]
        places = await by_and_by(entries, lambda entry: event_row(*entry, terms=terms))
        self._check_places(places)
        step = Append(places, frozenset(foreign), room, exist_ok, terms)
        ids = [place.id for place in places]

        async def ask() -> list[Work]:
            held: list[Work] = await self._append(
                ids, step, lambda answer: self._appended(entries, answer, terms)
            )
            return held

        held = await append_or_find(step, self._local_events, ask, self._see_known)
        if terms is not None:
            self._alarm.set(terms.expires)
        return held

    async def _see_known(self, numbers: Sequence[int]) -> None:
        """Read what known events are built of, but for those that this process has by now."""
        await self._open.enter.passed()  # an append that was cancelled under way is noted first
        has = self._local_events.cache.has
        if unknown := [number for number in numbers if not has(number)]:
            await self._sights.see(unknown, whole=True)

    def _check_places(self, places: Iterable[EventRow]) -> None:
        for place in places:
            check_event_size(place, self._largest)

    async def _enter(self, entries: Sequence[Entry], room: int | None) -> None:
        """Take in events with nothing on record."""
        if len(entries) == 1:
            ((event, priority),) = entries
            await self.append_soon(event, priority, room)
            return
        fresh = await by_and_by(entries, lambda entry: new_event_row(*entry))
        for one in fresh:
            check_new_event_size(one, self._largest)

        def entered(numbers: list[int]) -> None:
            self._local_events.entered_all(entries, numbers)
            self._herald.tell(READY)

        await self._append([one[0] for one in fresh], Enter(fresh, room), entered)

    async def _append(
        self, ids: list[bytes], step: Append | Enter, then: Callable[[Any], Any]
    ) -> Any:
        opened = self._open

        async def taken(db: Any) -> Any:
            self._large_ids = frozenset(ids)
            return await step(db)

        return await opened.ask(opened.large, taken, then)

    async def _appended(
        self, entries: Sequence[Entry], answer: list[tuple[int, bool]], terms: Terms | None
    ) -> list[Work]:
        find = self._local_events.cache.find
        known = [find(number) for number, _ in answer]  # kept until that is noted
        if None in known and await self._open.enter.passed():
            # An append that was cancelled under way has its own answer, and is noted first.
            known = [find(number) for number, _ in answer]
        unknown = [
            number
            for (number, is_new), event in zip(answer, known, strict=True)
            if event is None and not is_new
        ]
        if unknown:
            await self._sights.see(unknown, whole=True)
        held = self._local_events.appended(entries, answer, terms)
        self._herald.tell(READY if terms is None else READY + EXPIRES)
        return held

    async def _append_within(
        self, connection: Any, entries: Sequence[Entry], terms: Terms | None
    ) -> None:
        """Append events in the transaction of a connection of the caller."""
        if terms is not None and terms.unique is not None:
            raise OperationError(
                "unique= cannot be decided in another's transaction: leave connection= out"
            )
        places = await by_and_by(entries, lambda entry: event_row(*entry, terms=terms))
        self._check_places(places)
        queue = await self._read(lambda db: db.make_queue())
        await insert_within(connection, self.names, queue, places)
        for later in HINTS:  # nobody tells when it commits
            self._open.loop.call_later(later, self._hint)

    def _hint(self) -> None:
        """What was appended in another's transaction may be there by now."""
        if self._opened is not None:
            self._listeners.notify_ready()
            self._herald.tell(READY + EXPIRES)

    async def load(self, events: Sequence[Work]) -> int:
        if events:
            places = await by_and_by(events, loaded_event_row)
            self._check_places(places)
            foreign = [event.id.bytes for event in events if event.execution.arrival is not None]

            def loaded(answer: list[tuple[int, bool]]) -> None:
                self._local_events.loaded(events, answer)
                self._herald.tell(READY + EXPIRES)

            ids = [place.id for place in places]
            await self._append(ids, Append(places, frozenset(foreign)), loaded)
            self._alarm.set(await self._read(queries.next_expiry))
        return len(events)

    async def import_records(self, records: Sequence[Record]) -> int:
        if records:
            places = await by_and_by(records, lambda record: record_event_row(record, 0.0))
            self._check_places(places)

            def restored(_: object) -> None:
                self._listeners.notify_ready()
                self._herald.tell(READY + EXPIRES)

            await self._append([place.id for place in places], Append(places), restored)
            self._alarm.set(await self._read(queries.next_expiry))
        return len(records)

    def append_soon(
        self, event: Work, priority: float, room: int | None = None
    ) -> asyncio.Future[None]:
        """See ``BufferedPath``."""
        opened = self._open
        future: asyncio.Future[None] = opened.loop.create_future()
        if is_plain(event):
            fresh = new_event_row(event, priority)
            if len(fresh[2]) > UNCHECKED_LENGTH:
                check_new_event_size(fresh, self._largest)
            opened.enter.put((event, fresh, future, room))
            return future
        entries, place = [(event, priority)], event_row(event, priority)
        self._check_places([place])
        return opened.ask(  # it may have costs or a key of its own, which are columns
            opened.large,
            Append([place], room=room),
            lambda answer: self._appended_one(entries, answer),
        )

    async def _appended_one(self, entries: Sequence[Entry], answer: list[tuple[int, bool]]) -> None:
        await self._appended(entries, answer, None)

    async def _enter_all(self, entries: Sequence[Entering]) -> bool:
        entries = [one for one in entries if not one[2].cancelled()]  # never once it has begun
        if entries:
            await self._enter_some(entries)
        return True

    async def _enter_some(self, entries: Sequence[Entering], again: bool = False) -> None:
        opened = self._open
        if len(entries) > 1 and exceeds_statement(one[1][2] for one in entries):
            for one in entries:
                await self._enter_some([one], again)
            return
        columns, limits = [one[1] for one in entries], [one[3] for one in entries]
        numbers: Sequence[int | Exception]
        try:
            numbers = await opened.entering.run(
                lambda db: append_new(db, columns, limits), again=again
            )
        except Exception as error:
            if len(entries) > 1:  # the event that is at fault shows if each is appended by itself
                logger.debug(
                    "an append of %d events is repeated one by one: %r", len(entries), error
                )
                unsure = again or (isinstance(error, StoreError) and error.retryable)
                for one in entries:
                    await self._enter_some([one], unsure)
                return
            numbers = [error]
        accepted, own = list[Entry](), list[int]()
        for (event, row, future, _), number in zip(entries, numbers, strict=True):
            if isinstance(number, int):
                accepted.append((event, row[4]))
                own.append(number)
                if not future.done():
                    future.set_result(None)
            elif not future.done():
                future.set_exception(number)
        if accepted:
            self._local_events.entered_all(accepted, own)
            self._herald.tell(READY)
