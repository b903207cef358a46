"""The heartbeat: a thread that keeps a process's leases alive, however long its loop is held up."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

from ..clock import boot_time

__all__ = ("JOIN", "Beat", "Names", "Pulse", "Said", "Saying")

Saying: TypeAlias = dict[str, Callable[[], str | None]]
"""By the name of a worker, what it says of itself."""

Said: TypeAlias = Mapping[str, str | None]
"""What each worker says of itself, by its name."""

Names: TypeAlias = Callable[[], Collection[str]]
"""Returns the names of all workers of this process."""

JOIN: Final = 1.0
"""Seconds to wait for the end of the thread."""

AGAIN: Final = 0.5
"""Seconds until a renewal that failed is tried again, if that is sooner than the next one."""

PATIENCE: Final = 1.0
"""Seconds for which a claim waits for a renewal that is late."""

_GLANCE: Final = 0.02

logger = logging.getLogger("lionpride")


class Beat(Protocol):
    """Renews leases in a database; made, used and closed in one thread."""

    def prepare(self) -> None:
        """Open what is needed, if that is to be done ahead."""

    def __call__(self, names: Names, said: Said) -> float:
        """Renew the leases of all workers, once. After an error it is called again.

        Args:
            names: Returns the workers.
            said: What they say of themselves; there may be more of them by now.

        Returns:
            A time of ``boot_time()`` before ``names`` was called, and before it was decided until
            when the leases hold.
        """

    def close(self) -> None:
        """Close what is open."""


class Pulse:
    """Renews the leases of the workers of this process, three times in a lease.

    Whatever is raised in its thread, the next renewal is tried. A renewal that has failed is
    logged once, until one succeeds.

    Args:
        lease: Seconds.
        name: The name of the thread.
        place: What messages call the database.
        make: Makes what renews leases; called in the thread.
    """

    def __init__(self, lease: float, name: str, place: object, make: Callable[[], Beat]) -> None:
        self._lease = lease
        self._name = name
        self._place = place
        self._make = make
        self._workers: Saying = {}
        self._call: threading.Event | None = None  # of the thread that is to run
        self._thread: threading.Thread | None = None
        self._fails = False
        self._is_late = False  # it is known and logged
        # Two times of `boot_time()`. The first begins a period in which each renewal was written
        # within a lease of the one before it. From the second the latest renewal counts.
        self._kept = (float("-inf"),) * 2
        self._resumed = float("-inf")  # when a renewal was written that was late

    # -- from the event loop -----------------------------------------------------------------

    def beat_for(self, workers: Saying) -> None:
        """Keep these alive from now on; the thread runs while there are any.

        Args:
            workers: What each says of itself; asked in the thread.
        """
        self._workers = workers
        if workers and self._thread is None:
            self._fails = self._is_late = False
            self._kept = (boot_time(),) * 2
            self._begin()

    def _begin(self) -> None:
        call = threading.Event()
        thread = threading.Thread(target=self._run, args=(call,), name=self._name, daemon=True)
        self._call = call
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """End the thread; what it holds open is closed."""
        call, self._call = self._call, None
        if call is not None:
            call.set()
        if self._thread is not None:
            self._thread.join(JOIN)
            self._thread = None

    @property
    def is_fine(self) -> bool:
        """Return True if the leases of this process can be renewed, as far as it knows.

        It is False after a renewal that failed, and if there was none for a whole lease.
        """
        if self._thread is None:
            return True
        return not self._fails and boot_time() <= self._kept[1] + self._lease

    @property
    def is_steady(self) -> bool:
        """Return True if no renewal is late, and none was within the last third of a lease.

        Only then may this process reap leases of other workers. What has stopped this process may
        have stopped them too: another store in this process, or all processes of a container. They
        get a third of a lease to renew their leases.
        """
        now = boot_time()
        is_late = self._thread is not None and now > self._kept[1] + self._lease / 2
        return not is_late and now >= self._resumed + self._lease / 3

    async def is_fine_soon(self) -> bool:
        """Return ``is_fine``; if it is False, first ask for a renewal and wait for it a little."""
        tries = round(PATIENCE / _GLANCE)
        while not self.is_fine and tries:
            if self._call is not None:
                self._call.set()
            await asyncio.sleep(_GLANCE)
            tries -= 1
        return self.is_fine

    def watch(self) -> None:
        """Log once if renewals are late, and start the thread again if it has ended."""
        if self._thread is None:
            return
        late = boot_time() - self._kept[1]
        if late <= self._lease:
            self._is_late = False
        elif not self._is_late:
            self._is_late = True
            logger.error(
                "%s: no heartbeat of this process was written for %.1f s, and its leases hold "
                "for %g s: other workers may run its events; nothing more is claimed until one is "
                "written",
                self._place,
                late,
                self._lease,
            )
        if not self._thread.is_alive():
            with suppress(RuntimeError):  # no thread can be started now; the next call tries again
                self._begin()

    def holds(self, until: float) -> bool:
        """Return True if a lease that was to hold until some time certainly has not lapsed.

        It holds for longer if it was renewed before that time, and has been renewed since without
        a gap that is longer than a lease.

        Args:
            until: A time of ``boot_time()``.
        """
        now, (since, latest) = boot_time(), self._kept
        return now < until or (since <= until and now < latest + self._lease)

    # -- in the thread -----------------------------------------------------------------------

    def _run(self, call: threading.Event) -> None:
        beat = self._make()
        try:
            self._try(beat.prepare)
            while self._call is call:
                self._try(lambda: self._wait_and_renew(call, beat))
        finally:
            with suppress(Exception):
                beat.close()

    def _wait_and_renew(self, call: threading.Event, beat: Beat) -> None:
        """Wait for the next beat, or until called; renew, if the thread is wanted still."""
        call.wait(min(AGAIN, self._lease / 3) if self._fails else self._lease / 3)
        call.clear()
        if self._call is call:
            self._renew(beat)

    def _try(self, work: Callable[[], object]) -> None:
        """Do something that may fail in any way: this thread goes on."""
        try:
            work()
        except BaseException as error:
            failed_before, self._fails = self._fails, True
            if not failed_before:
                said = str(error) or type(error).__name__
                logger.warning("%s: leases could not be renewed: %s", self._place, said)

    def _renew(self, beat: Beat) -> None:
        at = beat(lambda: tuple(self._workers), self._said())
        done, (since, latest) = boot_time(), self._kept
        if done > latest + self._lease / 2:
            self._resumed = done
        self._kept = (done if done > latest + self._lease else since), at
        if self._fails:
            logger.info("%s: leases are renewed again", self._place)
        self._fails = False

    def _said(self) -> Said:
        """Return what each worker says of itself; None of one that raises."""
        said: dict[str, str | None] = {}
        for name, about in tuple(self._workers.items()):
            try:
                said[name] = about()
            except BaseException as error:
                said[name] = None
                logger.debug("worker %s cannot describe itself: %r", name, error)
        return said
