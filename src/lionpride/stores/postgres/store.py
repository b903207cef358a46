"""Store in a PostgreSQL database: the rows are the data, and a commit makes a change durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from ...model.execution import EventStatus
from ...model.work import Work
from ..contract import Settled, Settlement
from ..sql import operations
from ..sql.codec import UNCHECKED_LENGTH, exceeds_statement, response_json
from ..sql.leases import Reap, Reaped
from ..sql.limits import UsageChange, change_usage
from ..sql.local import CHUNK, heard
from ..sql.rows import EMPTY_RESULT, QueuedCompletion
from .claims import SWEEP, Claims
from .hot_complete import complete
from .news import ENDED, EXPIRES, READY
from .pipelines import Request, run_request
from .transaction import Operation, PostgresTransaction, ReapStep

__all__ = ("PostgresStore",)

AGAIN: Final = 1.0
"""Seconds until completions that could not be written are tried again."""


class PostgresStore(Claims):
    """Keeps the events of one queue in a PostgreSQL database, which many machines can share.

    Args:
        url: Server and database, as ``postgresql://user:password@host:5432/database``.
        queue: Name of the queue.
        name: Name of the ``states``; by default that of the queue.
        schema: Schema of the tables; it is created if it does not exist.
        prefix: Prefix of the names of the tables.
        lease: Seconds without a heartbeat after which the claims of a process expire.
        patience: Seconds for which operations are tried again while the server is unavailable.
        connections: Maximum number of connections, in addition to one that listens and one for
            heartbeats.
        listen: True to receive notifications of other processes; False to poll for changes.
        poll: Approximate seconds between two polls, if notifications are not received.
        pgbouncer: True for a pooler in transaction mode, such as PgBouncer. No statement is
            prepared then, and notifications are not used.
        shown: Maximum number of pending or finished events in ``states``: the newest that were
            appended or settled here.
        retain: Number of finished events to keep, or a timedelta; None to keep all.
        clock: Returns the time as a Unix timestamp in seconds, in place of the server's clock.

    Raises:
        ConfigurationError: if an option is invalid; nothing is opened or created then.
    """

    # -- settling ----------------------------------------------------------------------------

    def complete_soon(self, event: Work, attempt: int, response: Any, duration: float) -> None:
        """See ``BufferedPath``."""
        own = event.__dict__
        number: int = own.get("_arrival", 0)
        if not self._local_events.has(number, event, attempt):
            return
        own.pop("_meter", None)
        if response is None:
            result: str | None = EMPTY_RESULT
        else:
            result = response_json(event, response)
            long = result is not None and len(result) > UNCHECKED_LENGTH
            if long and self._is_too_large(event, attempt, result, duration):
                return
        columns = number, attempt, 0.0, duration, result, 0, 0, None
        self._open.settle.put((event, response, columns))

    async def settled(self) -> None:
        """See ``BufferedPath``."""
        settle = self._open.settle
        while not settle.idle and not settle.stalled:
            await settle.quiet()
        if settle.stalled and self._trouble is not None:
            raise self._trouble

    _trouble: Exception | None = None

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        answers: list[Settled] = await self._settle(settlements)
        return answers

    def _settle(self, settlements: Sequence[Settlement]) -> asyncio.Future[Any]:
        rows = self._settling(settlements, float)
        self._pause(settlements)
        opened = self._open
        return opened.ask(opened.settle, rows, lambda answers: self._settled(settlements, answers))

    async def _settled(
        self, settlements: Sequence[Settlement], answers: list[Settled]
    ) -> list[Settled]:
        lost = [
            event.__dict__.get("_arrival", 0)
            for (event, attempt, _), answer in zip(settlements, answers, strict=True)
            if not answer.is_recorded
            and self._local_events.has(event.__dict__.get("_arrival", 0), event, attempt)
        ]
        if lost:
            await self._sights.see(lost)
        self._sights.moved(event.__dict__.get("_arrival", 0) for event, _, _ in settlements)
        self._local_events.settled(settlements, answers)
        news = set[str]()
        for (event, _, outcome), answer in zip(settlements, answers, strict=True):
            if answer.is_recorded:
                event.__dict__.pop("_meter", None)
            if outcome.status is EventStatus.PENDING and answer is not Settled.CANCELLED:
                news.add(READY)
                if (expires := event.execution.expires) is not None:
                    self._alarm.set(expires)
                    news.add(EXPIRES)
            else:
                news.add(ENDED)
        if news:
            self._herald.tell("".join(sorted(news)))
        self._ring_if_idle()
        self._note()
        return answers

    async def _settle_all(self, items: Sequence[QueuedCompletion | Request]) -> bool:
        asked = []
        for one in items:  # what an attempt spends, it spends before it ends
            if isinstance(one, Request) and isinstance(one.step, UsageChange):
                step = Operation(partial(change_usage, change=one.step))
                await run_request(self._open.settling, one, step)
            elif isinstance(one, Request):
                asked.append(one)
        exits = [one for one in items if not isinstance(one, Request)]
        fine = not exits or await self._exit(exits)
        if exits and fine:  # not after one of several statements
            self._trouble = None
        await self._answer(asked)
        return fine

    async def _exit(self, exits: Sequence[QueuedCompletion]) -> bool:
        """Put completions on record; they are tried until that is done."""
        if len(exits) > 1 and exceeds_statement(one[2][4] for one in exits):
            return all([await self._exit([one]) for one in exits])
        columns, again = [one[2] for one in exits], self._trouble is not None
        try:
            applied = await self._open.settling.run(lambda db: complete(db, columns), again=again)
        except Exception as error:
            self._is_not_on_record(exits, error)
            return False
        return await self._is_on_record(exits, applied)

    def _is_not_on_record(self, exits: Sequence[QueuedCompletion], error: Exception) -> None:
        opened, self._trouble = self._open, error
        opened.settle.put_back(exits)
        opened.loop.call_later(AGAIN, opened.settle.go)

    async def _is_on_record(
        self, exits: Sequence[QueuedCompletion], applied: Sequence[bool]
    ) -> bool:
        claims, fine = self._local_events.claims, True
        lost = [
            one
            for one, is_on_record in zip(exits, applied, strict=True)
            if not is_on_record and claims.get(one[2][0]) == one[2][1]
        ]
        try:
            if lost:
                await self._sights.see([one[2][0] for one in lost])
        except Exception as error:
            self._is_not_on_record(lost, error)
            exits = [one for one, it_is in zip(exits, applied, strict=True) if it_is]
            applied, fine = [True] * len(exits), False
        self._sights.moved(one[2][0] for one in exits)
        self._local_events.exited(exits, applied)
        self._herald.tell(ENDED)
        self._ring_if_idle()
        self._note()
        return fine

    async def _answer(self, asked: Sequence[Request]) -> None:
        """Put settlements on record, all in one statement, and answer each who waits."""
        if not asked:
            return
        rows = [row for one in asked for row in one.step]
        if len(asked) > 1 and exceeds_statement(row[6] and row[6][6] for row in rows):
            for one in asked:
                await self._answer([one])
            return
        try:
            answers = await self._open.settling.run(
                lambda db: operations.settle(PostgresTransaction(db), rows)
            )
        except Exception as error:
            for one in asked:
                one.fail(error)
            return
        for one in asked:
            own, answers = answers[: len(one.step)], answers[len(one.step) :]
            await one.answer(own)

    async def reap(self, limit: int = 1000) -> int:
        opened = self._open
        count: int = await opened.ask(opened.claim, self._reap(limit, lambda: True), self._reaped)
        return count

    def _reap(self, limit: int, may_reap: Callable[[], bool]) -> ReapStep:
        workers, claimants = frozenset(self._workers), frozenset(self._names)
        known = self._known_attempts
        return ReapStep(Reap(workers, self._lease, may_reap, claimants, known, limit=limit))

    def _known_attempts(self) -> dict[int, int]:
        """Return the attempts that this process has claimed, by number."""
        return self._local_events.claims | self._unsettled

    async def _reaped(self, reaped: Reaped) -> int:
        self._others = reaped.others
        self._cleaning.workers = reaped.live_workers
        if reaped.live_workers > len(reaped.registered):
            self._is_shared = True  # another process works, though no notification came yet
        await self._refresh(reaped.numbers)
        if reaped.numbers:
            self._tell_swept(reaped.finished)  # another process may have finished the rest by now
            self._listeners.notify_ready()
            self._herald.tell(READY + ENDED + EXPIRES)
        for worker in self._workers.keys() - self._leaving:
            if worker not in reaped.registered and worker in self._enlisted:
                self._enlist(worker)  # it was away for so long that others have deleted its row
        return len(reaped.numbers)

    def _tidy(self) -> None:
        """Look now and then for leases that have lapsed, and for endings that are too old.

        It comes before the claim that it goes with, which may take what is given back.
        """
        now = self._clock()
        if abs(now - self._swept) < SWEEP:  # the clock may have been set back
            return
        self._swept, opened = now, self._open
        step: Any = self._reap(1000, lambda: self.heartbeat.may_reap)
        opened.ask(opened.claim, step, self._reaped).add_done_callback(heard)
        if self._retain is not None:
            keep = self._retain if isinstance(self._retain, int) else None
            age = self._retain if isinstance(self._retain, timedelta) else None
            seconds = None if age is None else age.total_seconds()
            step = Operation(partial(operations.retain, keep=keep, age=seconds, limit=CHUNK))
            self._ask(step, self._retained).add_done_callback(heard)

    def _retained(self, numbers: list[int]) -> None:
        self._drop(numbers)
        if len(numbers) == CHUNK:
            self._swept -= SWEEP  # there may be more: go on with the next claim
