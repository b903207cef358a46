"""Group commit: requests that arrive while a commit is under way share the next transaction.

The statements of a transaction run on the event loop, where they take microseconds. The commit runs
in a thread if the disk is slow: SQLite releases the interpreter for that call. If another process
is writing, all of the transaction runs in the thread, which may wait (docs/decisions/sqlite.md).

All requests of a kind are handled by one call of an operation. If one of them makes it fail, the
same operation runs again for each half of them, under savepoints, until the failing request is
alone and gets its error (``in_halves``).
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import get_running_loop
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from copy import copy
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final, NamedTuple, TypeVar

import apsw

from ...errors import LionprideError, StoreError
from ..contract import Settled
from ..sql.appending import NotHeld
from ..sql.claiming import ClaimResult
from ..sql.local_events import LocalEvents
from ..sql.process import forks
from ..sql.rows import QueuedAppend, QueuedCompletion, SettlementRow
from . import hot_append, hot_claim, hot_complete
from .commit_thread import CommitThread, call_in_loop
from .file import log_of, translated_errors, unknown_outcome
from .file_guard import FileGuard
from .large_appends import LargeAppends
from .open_files import inherited_error
from .rows import CommitError, MissingLease, Rows
from .steps import AppendStep, LimitedClaimStep, SettleStep, Step
from .transaction import OperationStep
from .write_lock import WriteLock, is_free

__all__ = ("GroupCommit", "in_halves")

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger("lionpride")

SMALL: Final = 4
"""A batch of so many steps is committed on the event loop: the thread would cost more."""

PIECE: Final = 500
"""Events of a large append that are inserted in one iteration of the event loop."""

GATHER: Final = 0.003
"""Maximum time in seconds that a transaction waits for further requests."""

_TURNS: Final = 2
"""Iterations of the event loop that it waits in any case, while each brings further requests."""

AGAIN: Final = 1.0
"""Seconds until completions that could not be written are tried again."""


class Answer(NamedTuple):
    """The result of a step, or the error that it raised."""

    value: Any
    error: Exception | None = None


class Answers(NamedTuple):
    """Results of a batch.

    Attributes:
        numbers: The number of each appended event, or the error of the append.
        applied: For each completion, True if its attempt had a lease.
        steps: The result of each step.
        left: True if appended events may still wait.
        started: The numbers of appended events that started at once.
        idle: True if no event is pending or leased any more.
        may_resolve: True if children are to be resolved; see ``sql.resolving``.
    """

    numbers: Sequence[int | Exception]
    applied: Sequence[bool]
    steps: Sequence[Answer]
    left: bool
    started: Collection[int]
    idle: bool
    may_resolve: bool


class CommitBatch:
    """Requests that share a transaction.

    Attributes:
        appends: Events to append.
        completions: Attempts that completed.
        steps: All other requests: the step, its effect after the commit, and the future.
        answers: The results, once the transaction can be committed; None if it failed.
        is_answered: True as soon as the callers are answered.
    """

    __slots__ = ("_untaken", "answers", "appends", "completions", "is_answered", "steps")

    def __init__(self) -> None:
        self.appends: list[QueuedAppend] = []
        self.completions: list[QueuedCompletion] = []
        self.steps: list[tuple[Step, Callable[[Any], Any] | None, Any]] = []
        self.answers: Answers | None = None
        self.is_answered = False
        self._untaken = [True]

    def take(self) -> bool:
        """Return True to the first caller, in any thread; it alone may end the transaction."""
        try:
            return self._untaken.pop()
        except IndexError:
            return False

    def __len__(self) -> int:
        return len(self.appends) + len(self.completions) + len(self.steps)

    def drop_cancelled(self) -> None:
        """Leave out appends whose callers were cancelled; called before the transaction begins."""
        self.appends = [one for one in self.appends if not one[2].cancelled()]
        self.steps = [
            one for one in self.steps if not (one[2].cancelled() and isinstance(one[0], AppendStep))
        ]

    def takes_long(self, rows: Rows) -> bool:
        """Return True if a step may take a second; called outside of a transaction."""
        if not any(isinstance(step, OperationStep) and step.is_prune for step, _, _ in self.steps):
            return False
        try:
            return not rows.has_ordered_endings()
        except apsw.Error:  # the transaction will raise it, too
            return False

    def perform(self, rows: Rows) -> Answers:
        """Run all requests.

        Changes of limit usage by running attempts come first, then the ends of attempts. Claims
        come last, so that they find everything that the transaction makes ready.

        Raises:
            apsw.Error: if the transaction as a whole cannot go on.
        """
        answers: dict[int, Answer] = {}
        ranked = [(_rank(step), at, step) for at, (step, _, _) in enumerate(self.steps)]
        for rank, at, step in ranked:
            if rank == _USAGE:
                answers[at] = _alone(rows, step)
        done = in_halves(rows, [one[2] for one in self.completions], hot_complete.complete)
        applied = [answer.error is None for answer in done]
        settles = [(at, step) for _, at, step in ranked if isinstance(step, SettleStep)]
        answers |= _settle(rows, settles)
        appended = in_halves(rows, self.appends, hot_append.append)
        numbers = [answer.error or answer.value for answer in appended]
        for at in self.order():
            step = self.steps[at][0]
            if at not in answers:
                if not isinstance(step, hot_claim.ClaimStep):
                    hot_append.make_ready(rows)
                answers[at] = _alone(rows, step)
        hot_append.make_ready(rows)
        in_order = [answers[at] for at in range(len(self.steps))]
        started = _started(in_order, numbers)
        left = len(started) < len(numbers)
        return Answers(numbers, applied, in_order, left, started, *rows.write_counts())

    def answer(self, answers: Answers) -> None:
        """Answer all callers in order, after the commit."""
        for (_, _, future, _), number in zip(self.appends, answers.numbers, strict=True):
            if isinstance(number, Exception):
                _fail(future, number)
            elif not future.done():
                future.set_result(None)
        for at in self.order():
            _, then, future = self.steps[at]
            value, error = _noted(then, answers.steps[at])
            if error is not None:
                _fail(future, error)
            elif not future.done():
                future.set_result(value)

    def fail(self, error: Callable[[Sequence[bytes]], Exception]) -> None:
        """Answer all callers with an error of their own, since nothing was written.

        Args:
            error: Makes the error; called with the ids of the events that were to be appended.
        """
        for _, row, future, _ in self.appends:
            _fail(future, error([row[0]]))
        for step, _, future in self.steps:
            _fail(future, error(step.request.ids if isinstance(step, AppendStep) else ()))

    def order(self) -> list[int]:
        """Return the positions of the steps in the order in which they run and are answered.

        Claims come last. An event may be appended and claimed in one transaction; its append is
        noted first, and observers are notified of it before its start.
        """
        return sorted(range(len(self.steps)), key=lambda at: _rank(self.steps[at][0]))


_USAGE, _SETTLE, _OTHER, _CLAIM = range(4)


def _rank(step: Step) -> int:
    if isinstance(step, SettleStep):
        return _SETTLE
    if isinstance(step, OperationStep) and step.is_usage:
        return _USAGE
    return _CLAIM if isinstance(step, hot_claim.ClaimStep | LimitedClaimStep) else _OTHER


def in_halves(
    rows: Rows, requests: Sequence[T], operation: Callable[[Rows, Sequence[T]], Sequence[R]]
) -> list[Answer]:
    """Run an operation for all requests; if it fails, run it for each half of them.

    So a request that cannot be fulfilled gets its own error, and its neighbours their results.

    Args:
        rows: The tables.
        requests: The requests.
        operation: Returns a result for each request, in order.

    Raises:
        apsw.Error: if the transaction as a whole cannot go on.
    """
    if not requests:
        return []
    # An interrupt (KeyboardInterrupt) ends the whole transaction, and with it the savepoint.
    before = rows.savepoint()
    try:
        answers = [Answer(result) for result in operation(rows, requests)]
        rows.release()
        return answers
    except apsw.Error:
        raise
    except Exception as error:
        rows.undo(before)
        _log(error, len(requests))
        if len(requests) == 1:
            return [Answer(None, error)]
    middle = len(requests) // 2
    first = in_halves(rows, requests[:middle], operation)
    return first + in_halves(rows, requests[middle:], operation)


def _log(error: Exception, count: int) -> None:
    """Log why an operation failed; an unexpected error is a bug of this library."""
    if isinstance(error, LionprideError | MissingLease | NotHeld):
        logger.debug("%d requests of a transaction failed: %r", count, error)
    else:
        logger.error("unexpected error in a transaction of %d requests", count, exc_info=error)


def _alone(rows: Rows, step: Step) -> Answer:
    """Run a step by itself."""
    (answer,) = in_halves(rows, [step], lambda rows, steps: [each(rows) for each in steps])
    return answer


def _settle(rows: Rows, settles: Sequence[tuple[int, SettleStep]]) -> dict[int, Answer]:
    """Record the outcomes of all callers together; return the result of each step by position."""
    settlings = [one for _, step in settles for one in step.settlings]

    def record(rows: Rows, some: Sequence[SettlementRow]) -> list[Settled]:
        return SettleStep(some, settles[0][1].clocks)(rows)

    results = iter(in_halves(rows, settlings, record))
    answers: dict[int, Answer] = {}
    for at, step in settles:
        own = [next(results) for _ in step.settlings]
        error = next((each.error for each in own if each.error is not None), None)
        answers[at] = Answer([each.value for each in own], error)
    return answers


def _started(claims: Sequence[Answer], numbers: Sequence[int | Exception]) -> Collection[int]:
    """Return the numbers of appended events that started at once, in order if these are all."""
    found = [each.value.new for each in claims if isinstance(each.value, ClaimResult)]
    started = {number for new in found for _, number in new}
    if len(started) < len(numbers):
        return started
    return [number for number in numbers if isinstance(number, int)]


def _noted(then: Callable[[Any], Any] | None, answer: Answer) -> Answer:
    """Apply the effects of a step after the commit; return the answer for its caller."""
    if answer.error is not None or then is None:
        return answer
    try:
        return Answer(then(answer.value))
    except Exception as error:
        return Answer(None, error)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    """Raise an error in the caller that waits for a future, if it still waits."""
    if not future.done():
        future.set_exception(error)


class GroupCommit:
    """Runs steps in transactions, one at a time, for one event loop.

    Args:
        path: The file, for messages.
        connection: The only writing connection of this process, except for the heartbeat's.
        rows: The tables over that connection.
        write_lock: The write lock between processes.
        guard: Checks the file before each transaction.
        patience: Seconds to wait for a program that writes without the write lock.
        local_events: The events of this process; what is committed is noted there.
        committed: Called after each commit, with True if no event is pending or leased, and True if
            children are to be resolved.
    """

    def __init__(
        self,
        path: Path,
        connection: apsw.Connection,
        rows: Rows,
        write_lock: WriteLock,
        guard: FileGuard,
        *,
        patience: float,
        local_events: LocalEvents,
        committed: Callable[[bool, bool], None],
    ) -> None:
        self._path = path
        self._connection = connection
        self._rows = rows
        self._write_lock = write_lock
        self._guard = guard
        self._patience = patience
        self._local_events = local_events
        self._committed = committed
        self._batch = CommitBatch()
        self._busy = False
        self._scheduled = False
        self._gathered, self._turns, self._latest = 0, 0, 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = forks.count
        self._thread = CommitThread()
        self._quiet: list[asyncio.Future[None]] = []
        self._large = LargeAppends()
        self._log = log_of(connection)

    # -- asking ------------------------------------------------------------------------------

    def ask(self, step: Step, then: Callable[[Any], Any] | None = None) -> asyncio.Future[Any]:
        """Run a step in the next transaction.

        Args:
            step: The step.
            then: Called with the result of the step after the commit, even if the caller was
                cancelled. It returns the result of the future.
        """
        loop = self._here()
        future: asyncio.Future[Any] = loop.create_future()
        self._batch.steps.append((step, then, future))
        if not self._busy and not self._scheduled:
            self._schedule(loop)
        return future

    def append_new(self, event: Any, row: Any, room: int | None = None) -> asyncio.Future[None]:
        """Append a new event, if at most ``room`` events wait afterwards."""
        loop = self._loop
        if loop is None or loop is not get_running_loop() or forks.count != self._process:
            loop = self._here()
        future: asyncio.Future[None] = loop.create_future()
        self._batch.appends.append((event, row, future, room))
        if not self._busy and not self._scheduled:
            self._schedule(loop)
        return future

    def complete(self, completion: QueuedCompletion) -> None:
        """Record a completion; it is tried again until it is recorded."""
        loop = self._loop
        if loop is None or loop is not get_running_loop():
            loop = self._here()
        self._batch.completions.append(completion)
        if not self._busy and not self._scheduled:
            self._schedule(loop)

    @property
    def is_ours(self) -> bool:
        """Return True if this process has opened the file, and not its parent before a fork."""
        return forks.count == self._process

    def check_file(self, *, now: bool = False) -> None:
        """Check that the file was not removed, replaced or truncated.

        Args:
            now: True to check everything, even if the last check was less than a second ago.

        Raises:
            StoreError: if it was; it names the file.
        """
        self._guard.check_lengths(self._log.frames, now=now)

    def check_process(self) -> None:
        """Check that this is not a child process.

        Raises:
            OperationError: after ``fork``.
        """
        if forks.count != self._process:
            raise inherited_error(self._path)

    def _here(self) -> asyncio.AbstractEventLoop:
        """Return the running event loop, and serve it from now on."""
        self.check_process()
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._thread.wait()  # for calls of another loop
            self._busy = self._scheduled = False
            self._batch, self._large, self._loop = CommitBatch(), LargeAppends(), loop
        return loop

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a transaction as soon as an iteration of the event loop brings no more requests.

        So it contains the requests of now and those that follow from them: an append wakes a
        worker that claims, and an attempt may end at once.
        """
        self._scheduled = True
        self._gathered, self._turns, self._latest = 0, 0, monotonic() + GATHER
        loop.call_soon(self._flush)

    @property
    def idle(self) -> bool:
        """Return True if no transaction is under way, so that the connection may be read from."""
        return not self._busy

    async def quiet(self) -> None:
        """Wait until no request is under way.

        Raises:
            StoreError: if a transaction fails.
        """
        while self._busy or len(self._batch) or len(self._large):
            future = asyncio.get_running_loop().create_future()
            self._quiet.append(future)
            await future

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    # -- one transaction ---------------------------------------------------------------------

    def _flush(self) -> None:
        """Run the requests in a transaction. A signal handler may raise any exception in it."""
        self._scheduled = False
        if self._busy or self._gathers():
            return
        batch = CommitBatch()
        try:
            self._busy = True
            if self._large.call(bool(len(self._batch))):
                return
            self._batch.drop_cancelled()
            if not len(self._batch):
                self._next()
                return
            batch, self._batch = self._batch, batch
            self._transact(batch)
        except BaseException as error:
            if self._end(batch, error) or not isinstance(error, Exception):
                raise

    def _gathers(self) -> bool:
        """Return True if the transaction waits for one more iteration of the event loop.

        It waits while each iteration brings further requests: two iterations in any case, since an
        append wakes a worker in the first and the worker claims in the second.
        """
        more = len(self._batch) > self._gathered
        if more and self._loop and (self._turns < _TURNS or monotonic() < self._latest):
            self._scheduled, self._gathered = True, len(self._batch)
            self._turns += 1
            self._loop.call_soon(self._flush)
            return True
        return False

    def _transact(self, batch: CommitBatch) -> None:
        if batch.takes_long(self._rows) or not self._write_lock.try_acquire():
            self._in_thread(batch, self._wait_and_do)
            return
        try:
            batch.answers = self._do(batch, 0)
        except apsw.BusyError:  # a program without the write lock is writing
            self._write_lock.release()
            self._in_thread(batch, self._wait_and_do)
            return
        if len(batch) <= SMALL or self._log.is_quick:
            self._at_once(batch)
        else:
            self._in_thread(batch, self._commit)

    def _at_once(self, batch: CommitBatch) -> None:
        assert batch.answers is not None
        self._commit(batch)
        self._done(batch, batch.answers)

    def _end(self, batch: CommitBatch, error: BaseException) -> bool:
        """End a batch after an error on the event loop.

        Returns:
            True if the error is to be raised, since the callers of the batch did not get it.
        """
        if batch.is_answered or not batch.take():  # or the thread runs it
            return True
        is_committed = self._is_committed(batch, error)
        self._write_lock.release()
        if is_committed and batch.answers is not None:
            self._done(batch, batch.answers)
        else:
            self._failed(batch, error)
        return is_committed

    def _is_committed(self, batch: CommitBatch, error: BaseException) -> bool:
        """Return True if a transaction is committed in which an error was raised.

        The handler of a signal may raise between any two instructions, also after the COMMIT. If
        the transaction is not committed, it is rolled back.
        """
        is_committed = (
            batch.answers is not None
            and not self._connection.in_transaction
            and not _is_of_sqlite(error)
        )
        if not is_committed:
            batch.answers = None
            self._rows.roll_back()
        return is_committed

    def _do(self, batch: CommitBatch, patience: float) -> Answers:
        """Run the requests; the transaction stays open."""
        try:
            self._begin(patience)
            return batch.perform(self._rows)
        except BaseException:
            self._rows.roll_back()
            raise

    def _begin(self, patience: float) -> None:
        self.check_file()
        self._connection.set_busy_timeout(round(patience * 1000))
        try:
            self._rows.begin()
        except BaseException:
            self._rows.roll_back()
            raise

    def _commit(self, batch: CommitBatch) -> None:
        began = monotonic()
        try:
            self._rows.commit()
            self._log.note(monotonic() - began)
        except BaseException as error:
            self._is_committed(batch, error)
            raise
        finally:
            self._write_lock.release()

    def _acquire_write_lock(self) -> None:
        """Wait for the write lock, in a thread."""
        self._write_lock.acquire(lambda: is_free(self._connection))

    def _wait_and_do(self, batch: CommitBatch) -> None:
        self._acquire_write_lock()
        try:
            batch.answers = self._do(batch, self._patience)
        except BaseException:
            self._write_lock.release()
            raise
        self._commit(batch)

    # -- its end -----------------------------------------------------------------------------

    def _in_thread(self, batch: CommitBatch, work: Callable[[CommitBatch], None]) -> None:
        loop = self._loop
        assert loop is not None

        def call() -> None:
            if not batch.take():  # a signal handler has raised, and the batch is ended
                return
            try:
                work(batch)
            except Exception as error:
                call_in_loop(loop, self._failed, batch, error)
            else:
                call_in_loop(loop, self._done, batch, batch.answers)

        self._thread.call(call)

    def _done(self, batch: CommitBatch, answers: Answers) -> None:
        batch.is_answered, local_events = True, self._local_events
        try:
            local_events.completed(batch.completions, answers.applied)
            local_events.appended_new(batch.appends, answers)
            batch.answer(answers)
            self._log.measure()
        except BaseException as error:
            interruption = error
            batch.fail(lambda _: _interrupted(self._path, interruption))
            raise
        finally:
            self._next()
        self._committed(answers.idle, answers.may_resolve)

    def _failed(self, batch: CommitBatch, failure: BaseException) -> None:
        """Answer the callers of a failed transaction; keep its completions for the next one."""
        batch.is_answered = True
        try:
            self._batch.completions[:0] = batch.completions
            if self._batch.completions and self._loop is not None:
                self._loop.call_later(AGAIN, self._flush)
            batch.fail(partial(self._explained, failure))
            waiting, self._quiet = self._quiet, []
            for quiet in waiting:
                if not quiet.done():
                    quiet.set_exception(self._explained(failure))
        finally:
            self._next(after_failure=True)

    def _explained(self, failure: BaseException, ids: Sequence[bytes] = ()) -> Exception:
        """Return a new error for one caller, whose step was to append events with these ids."""
        if isinstance(failure, CommitError):
            return unknown_outcome(self._path, failure, ids)
        if not isinstance(failure, Exception):
            return StoreError(
                f"{self._path}: {type(failure).__name__} was raised before the COMMIT: nothing of "
                "this step was written; try again",
                cause=failure,
            )
        try:
            with translated_errors(self._path):
                raise copy(failure) if isinstance(failure, StoreError) else failure
        except Exception as error:
            return error

    def _next(self, after_failure: bool = False) -> None:
        loop = self._loop
        self._busy = loop is not None and self._log.is_long and not after_failure
        more: Any = self._batch.steps or self._batch.appends or self._large
        if self._busy:
            self._thread.call(partial(self._copy_log, loop))
        elif loop is not None and (more or (self._batch.completions and not after_failure)):
            self._schedule(loop)
        elif self._quiet:
            waiting, self._quiet = self._quiet, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def _copy_log(self, loop: Any) -> None:
        with suppress(StoreError, apsw.Error):  # the next step raises it
            self.check_file(now=True)
            self._log.copy()
        call_in_loop(loop, self._next)

    # -- a large append ----------------------------------------------------------------------

    async def append_large(self, step: AppendStep, then: Callable[[Any], Any]) -> Any:
        """Append many events in one transaction; other tasks run in between.

        Args:
            step: The append.
            then: As for ``ask``.
        """
        await self._wait_for_turn(len(step.request.rows))
        try:
            if not self._write_lock.try_acquire() and await self._thread.finish(
                self._acquire_write_lock
            ):
                self._write_lock.release()
                raise asyncio.CancelledError
            return await self._append(step, then)
        except (apsw.Error, OSError) as error:
            raise self._explained(error, step.request.ids) from error
        finally:
            self._next()

    async def _wait_for_turn(self, size: int) -> None:
        loop = self._here()
        turn = self._large.join(size)
        if not self._busy and not self._scheduled:
            self._schedule(loop)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()
            raise

    async def _append(self, step: AppendStep, then: Callable[[Any], Any]) -> Any:
        rows = self._rows
        try:
            await self._begin_large()
            answer = await step.in_pieces(rows, PIECE, partial(asyncio.sleep, 0))
            rows.write_counts()
            cancelled = await self._thread.finish(rows.commit)
            self._log.measure()
        except BaseException:
            rows.roll_back()
            raise
        finally:
            self._write_lock.release()
        noted = then(answer)
        if cancelled:
            raise asyncio.CancelledError
        return noted

    async def _begin_large(self) -> None:
        """Begin the transaction of a large append; if another program writes, in the thread."""
        try:
            self._begin(0.0)
        except apsw.BusyError:
            if await self._thread.finish(partial(self._begin, self._patience)):
                raise asyncio.CancelledError from None


def _is_of_sqlite(error: BaseException | None) -> bool:
    """Return True if SQLite raised an error, or one that a signal handler raised after it."""
    while error is not None and not isinstance(error, apsw.Error):
        error = error.__context__
    return error is not None


def _interrupted(path: Path, error: BaseException) -> StoreError:
    return StoreError(
        f"{path}: {type(error).__name__} was raised after the COMMIT: this step was written, but "
        "its answer was lost; look at the events",
        cause=error,
    )
