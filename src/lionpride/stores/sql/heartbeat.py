"""Heartbeat: a thread that renews the leases of a process while its event loop is blocked."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from time import monotonic
from typing import Final, Protocol, TypeAlias

from ..clock import boot_time

__all__ = ("JOIN", "DescriptionSources", "Descriptions", "Heartbeat", "LeaseRenewal", "WorkerNames")


DescriptionSources: TypeAlias = dict[str, Callable[[], str | None]]
"""By the name of a worker, a function that returns its description as JSON."""

Descriptions: TypeAlias = Mapping[str, str | None]
"""By the name of a worker, its description as JSON."""

WorkerNames: TypeAlias = Callable[[], Collection[str]]
"""Returns the names of all workers of this process."""

JOIN: Final = 1.0
"""Seconds to wait for the end of the thread."""

AGAIN: Final = 0.5
"""Seconds until a failed renewal is repeated, if that is sooner than the next renewal."""

PATIENCE: Final = 1.0
"""Seconds that a claim waits for a late renewal."""

_GLANCE: Final = 0.02

logger = logging.getLogger("lionpride")


class LeaseRenewal(Protocol):
    """Renews leases in a database; created, used and closed in one thread."""

    def prepare(self) -> None:
        """Open resources that may not be available later, such as file descriptors."""

    def __call__(self, names: WorkerNames, descriptions: Descriptions) -> float:
        """Renew the leases of all workers, once. After an error it is called again.

        Args:
            names: Returns the workers.
            descriptions: Their descriptions. ``names`` may return workers without one.

        Returns:
            A time of ``boot_time()`` that is not after the start of the renewed leases.
        """

    def close(self) -> None:
        """Close all open resources."""


class Heartbeat:
    """Renews the leases of the workers of this process, three times per lease.

    No exception ends the thread. The first of a series of failed renewals is logged.

    Args:
        lease: The length of a lease in seconds.
        name: The name of the thread.
        place: The database, as error messages name it.
        make: Creates the lease renewal; called in the thread.
    """

    def __init__(
        self, lease: float, name: str, place: object, make: Callable[[], LeaseRenewal]
    ) -> None:
        self._lease = lease
        self._name = name
        self._place = place
        self._make = make
        self._workers: DescriptionSources = {}
        self._wake_up: threading.Event | None = None  # wakes the current thread
        self._thread: threading.Thread | None = None
        self._fails = False
        self._is_late = False  # a late renewal has been logged
        self._tried_at = 0.0  # by `monotonic()`: when the thread last ended a try, or began
        # Two times of `boot_time()`. The first begins a period in which each renewal was written
        # within a lease of the one before it. From the second the latest renewal counts.
        self._renewal_period = (float("-inf"),) * 2
        self._resumed = float("-inf")  # time of the last late renewal

    # -- from the event loop -----------------------------------------------------------------

    def renew_for(self, workers: DescriptionSources) -> None:
        """Renew the leases of these workers from now on; the thread runs while there are any.

        Args:
            workers: Their descriptions; the functions are called in the thread.
        """
        self._workers = workers
        if workers and self._thread is None:
            self._fails = self._is_late = False
            self._renewal_period = (boot_time(),) * 2
            self._begin()

    def _begin(self) -> None:
        wake_up = threading.Event()
        thread = threading.Thread(target=self._run, args=(wake_up,), name=self._name, daemon=True)
        self._wake_up = wake_up
        self._tried_at = monotonic()
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """End the thread and close its resources."""
        wake_up, self._wake_up = self._wake_up, None
        if wake_up is not None:
            wake_up.set()
        if self._thread is not None:
            self._thread.join(JOIN)
            self._thread = None

    @property
    def is_healthy(self) -> bool:
        """Return True unless the last renewal failed or is a whole lease ago."""
        if self._thread is None:
            return True
        return not self._fails and boot_time() <= self._renewal_period[1] + self._lease

    @property
    def silence(self) -> float:
        """Seconds since the thread last tried to renew, with or without success.

        It is 0.0 while there is no worker. It stays below two leases while the thread works: a
        try, which the database may refuse, takes less than a lease.
        """
        return 0.0 if self._thread is None else monotonic() - self._tried_at

    @property
    def may_reap(self) -> bool:
        """Return True if this process may reap the leases of other workers.

        It may not while a renewal is late, and for a third of a lease after a late renewal. The
        cause may have stopped other workers too, for example all processes of a container. They
        get this time to renew their leases.
        """
        now = boot_time()
        is_late = self._thread is not None and now > self._renewal_period[1] + self._lease / 2
        return not is_late and now >= self._resumed + self._lease / 3

    async def becomes_healthy(self) -> bool:
        """Return ``is_healthy``; if it is False, first wait ``PATIENCE`` seconds for a renewal."""
        tries = round(PATIENCE / _GLANCE)
        while not self.is_healthy and tries:
            if self._wake_up is not None:
                self._wake_up.set()
            await asyncio.sleep(_GLANCE)
            tries -= 1
        return self.is_healthy

    def watch(self) -> None:
        """Log once if renewals are late, and restart the thread if it has ended."""
        if self._thread is None:
            return
        late = boot_time() - self._renewal_period[1]
        if late <= self._lease:
            self._is_late = False
        elif not self._is_late:
            self._is_late = True
            logger.error(
                "%s: this process has written no heartbeat for %.1f s, and its leases last %g s: "
                "other workers may run its events; it claims no more events until a heartbeat is "
                "written",
                self._place,
                late,
                self._lease,
            )
        if not self._thread.is_alive():
            with suppress(RuntimeError):  # no thread can be started now; the next call retries
                self._begin()

    def holds(self, until: float) -> bool:
        """Return True if a lease has certainly not expired.

        A lease that was renewed before ``until`` lasts longer, if no gap between the renewals
        since then was longer than a lease.

        Args:
            until: The end of the lease without a renewal, a time of ``boot_time()``.
        """
        now, (since, latest) = boot_time(), self._renewal_period
        return now < until or (since <= until and now < latest + self._lease)

    # -- in the thread -----------------------------------------------------------------------

    def _run(self, wake_up: threading.Event) -> None:
        beat = self._make()
        try:
            self._try(beat.prepare)
            while self._wake_up is wake_up:
                self._try(lambda: self._wait_and_renew(wake_up, beat))
        finally:
            with suppress(Exception):
                beat.close()

    def _wait_and_renew(self, wake_up: threading.Event, beat: LeaseRenewal) -> None:
        """Wait for the next renewal or a wake-up; renew, unless the thread was stopped."""
        wake_up.wait(min(AGAIN, self._lease / 3) if self._fails else self._lease / 3)
        wake_up.clear()
        if self._wake_up is wake_up:
            self._renew(beat)

    def _try(self, work: Callable[[], object]) -> None:
        """Run a function that may raise anything, and log the first of a series of errors."""
        try:
            work()
        except BaseException as error:
            failed_before, self._fails = self._fails, True
            if not failed_before:
                text = str(error) or type(error).__name__
                logger.warning("%s: leases could not be renewed: %s", self._place, text)
        self._tried_at = monotonic()

    def _renew(self, beat: LeaseRenewal) -> None:
        at = beat(lambda: tuple(self._workers), self._descriptions())
        done, (since, latest) = boot_time(), self._renewal_period
        if done > latest + self._lease / 2:
            self._resumed = done
        self._renewal_period = (done if done > latest + self._lease else since), at
        if self._fails:
            logger.info("%s: leases are renewed again", self._place)
        self._fails = False

    def _descriptions(self) -> Descriptions:
        """Return the description of each worker; None if its function raises."""
        descriptions: dict[str, str | None] = {}
        for name, about in tuple(self._workers.items()):
            try:
                descriptions[name] = about()
            except BaseException as error:
                descriptions[name] = None
                logger.debug("worker %s cannot describe itself: %r", name, error)
        return descriptions
