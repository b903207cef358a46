"""Group commit: what is asked for while a commit is under way shares the next one.

A transaction is made on the event loop, where its statements cost microseconds, and committed
in a thread, where the disk may take its time: SQLite lets go of the interpreter for that one
call. If another process is writing, all of it happens in the thread, which may wait for its
turn (docs/decisions/sqlite.md).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import apsw

from ...errors import OperationError
from .batch import Answer, perform
from .file import speaking
from .lock import Turn
from .rows import Rows
from .steps import Claim, Settle, Step

__all__ = ("Commits",)

MOST: Final = 512
"""Steps that share a commit at most, so that none holds up the loop for long."""

SMALL: Final = 4
"""Steps of a batch that is committed on the loop, since handing it over costs more."""

Asked = tuple[Step, Callable[[Any], Any] | None, "asyncio.Future[Any]"]


class Commits:
    """Takes steps in transactions, one at a time, for one event loop.

    Args:
        path: The file, for messages.
        connection: Its only writing connection in this process, but for the pulse's.
        rows: The tables over that connection.
        turn: The right to write.
        patience: Seconds to wait for a program that writes without taking turns.
        after: Called after each commit: whether nothing is pending or claimed any more.
    """

    def __init__(
        self,
        path: Path,
        connection: apsw.Connection,
        rows: Rows,
        turn: Turn,
        *,
        patience: float,
        after: Callable[[bool], None],
    ) -> None:
        self._path = path
        self._connection = connection
        self._rows = rows
        self._turn = turn
        self._patience = patience
        self._after = after
        self._asked: list[Asked] = []
        self._busy = False
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self._aside = Aside()
        self._quiet: list[asyncio.Future[None]] = []

    def ask(self, step: Step, then: Callable[[Any], Any] | None = None) -> asyncio.Future[Any]:
        """Have a step taken in the next transaction.

        Args:
            step: What to do.
            then: Called with its answer once that is committed, even if nobody awaits it any
                more; what it returns is the future's result.

        Raises:
            OperationError: in a child process after ``fork``.
        """
        if os.getpid() != self._process:
            raise OperationError(
                f"{self._path} was opened before fork(): open it anew in the child process"
            )
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        future = loop.create_future()
        self._asked.append((step, then, future))
        self._schedule(loop)
        return future

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve another loop; what the one before left unfinished in the thread is awaited."""
        self._aside.wait()
        self._busy = self._scheduled = False
        self._asked, self._loop = [], loop

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._busy and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._flush)

    @property
    def idle(self) -> bool:
        """Whether the connection may be read from: no transaction is under way."""
        return not self._busy

    async def quiet(self) -> None:
        """Return when nothing is under way."""
        while self._busy or self._asked:
            future = asyncio.get_running_loop().create_future()
            self._quiet.append(future)
            await future

    def close(self) -> None:
        """End the thread."""
        self._aside.close()

    # -- one transaction ---------------------------------------------------------------------

    def _flush(self) -> None:
        self._scheduled = False
        if self._busy or not self._asked:
            return
        batch, self._asked = self._asked[:MOST], self._asked[MOST:]
        self._busy = True
        if not self._turn.take_now():
            self._in_thread(batch, lambda: self._wait_and_do(batch))
            return
        try:
            answers, idle = self._do(batch, 0)
        except apsw.BusyError:  # a program that takes no turns is writing
            self._turn.give()
            self._in_thread(batch, lambda: self._wait_and_do(batch))
        except Exception as error:
            self._turn.give()
            self._failed(batch, error)
        else:
            if len(batch) <= SMALL:
                self._end(batch, lambda: self._commit(answers, idle))
            else:
                self._in_thread(batch, lambda: self._commit(answers, idle))

    def _do(self, batch: Sequence[Asked], patience: float) -> tuple[dict[int, Answer], bool]:
        """Take the steps; the transaction stays open."""
        self._connection.set_busy_timeout(round(patience * 1000))
        rows = self._rows
        try:
            rows.begin()
            answers = perform(rows, [step for step, _, _ in batch])
            rows.write_counts()
            idle = rows.is_idle()
        except BaseException:
            rows.roll_back()
            raise
        return answers, idle

    def _commit(self, answers: dict[int, Answer], idle: bool) -> tuple[dict[int, Answer], bool]:
        try:
            self._rows.commit()
        except BaseException:
            self._rows.roll_back()
            raise
        finally:
            self._turn.give()
        return answers, idle

    def _wait_and_do(self, batch: Sequence[Asked]) -> tuple[dict[int, Answer], bool]:
        self._turn.take()
        try:
            answers, idle = self._do(batch, self._patience)
        except BaseException:
            self._turn.give()
            raise
        return self._commit(answers, idle)

    # -- its end -----------------------------------------------------------------------------

    def _in_thread(self, batch: Sequence[Asked], work: Callable[[], Any]) -> None:
        loop = self._loop
        assert loop is not None

        def call() -> None:
            try:
                result = work()
            except Exception as error:
                self._tell(loop, self._failed, batch, error)
            else:
                self._tell(loop, self._done, batch, result)

        self._aside.call(call)

    def _tell(self, loop: asyncio.AbstractEventLoop, *call: Any) -> None:
        try:
            loop.call_soon_threadsafe(*call)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            return

    def _end(self, batch: Sequence[Asked], work: Callable[[], Any]) -> None:
        try:
            result = work()
        except Exception as error:
            self._failed(batch, error)
        else:
            self._done(batch, result)

    def _done(self, batch: Sequence[Asked], result: tuple[dict[int, Answer], bool]) -> None:
        answers, idle = result
        # Noted as they were taken: what is appended and claimed at once is known when it is claimed.
        noted = [(batch[at], self._note(batch[at], answer)) for at, answer in answers.items()]
        for (_, _, future), (value, error) in sorted(noted, key=lambda each: _rank(each[0][0])):
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        self._next()
        self._after(idle)

    def _note(self, asked: Asked, answer: Answer) -> Answer:
        """Have the store note what is committed; the answer for who asked."""
        _, then, _ = asked
        if answer.error is not None or then is None:
            return answer
        try:
            return Answer(then(answer.value))
        except Exception as error:
            return Answer(None, error)

    def _failed(self, batch: Sequence[Asked], failure: Exception) -> None:
        """The transaction came to nothing, and every step of it is told so."""
        for _, _, future in batch:
            if not future.done():
                future.set_exception(self._explained(failure))
        self._next()

    def _explained(self, failure: Exception) -> Exception:
        """An error of its own for each who waits."""
        try:
            with speaking(self._path):
                raise failure
        except Exception as error:
            return error

    def _next(self) -> None:
        self._busy = False
        if self._asked and self._loop is not None:
            self._schedule(self._loop)
        elif self._quiet:
            waiting, self._quiet = self._quiet, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)


def _rank(step: Step) -> int:
    """Who is told of a commit before whom.

    Those who made something wait go first, since they tell observers of it before it starts. Who
    claimed goes before the others whose events have ended: what it deals out is there when they
    ask for more.
    """
    if isinstance(step, Claim):
        return 1
    return 2 if isinstance(step, Settle) and step.only_ends() else 0


class Aside:
    """A thread that makes one call after another; it keeps no process alive."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._free = threading.Event()
        self._free.set()

    def call(self, work: Callable[[], None]) -> None:
        """Have it called; it deals with what it raises."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="lionpride-sqlite", daemon=True
            )
            self._thread.start()
        self._free.clear()
        self._calls.put(work)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            work()
            self._free.set()

    def wait(self) -> None:
        """Block until it is free."""
        self._free.wait()

    def close(self) -> None:
        """End the thread when it is free."""
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join()
            self._thread = None
