"""Forked children of a worker: they have its open file, and outlive it when it is killed."""

import asyncio
import os
import signal
import time
import warnings
from random import Random

from crash.deeds import QUEUE, Deed, Doer
from crash.journal import Journal

from lionpride.errors import OperationError

LIFE = 3.0
"""Seconds that a child lives at most."""


async def fork_some(url: str, times: int, journal: Journal) -> None:
    """Fork children, at any point of the worker's commits."""
    rng = Random(os.getpid())
    for number in range(times):
        await asyncio.sleep(rng.uniform(0.0, 0.1))
        life, worker = rng.uniform(0.1, LIFE), os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there are other threads
            pid = os.fork()
        if pid:
            journal.write("fork", extra=str(pid))
        else:
            _live(url, journal, worker, life, opens=number % 2 == 0)


def _live(url: str, journal: Journal, worker: int, life: float, *, opens: bool) -> None:
    """Be the child: open the store, which is to be refused, and keep what was inherited."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(round(2 * LIFE))
        end, told = time.monotonic() + life, False
        if opens:
            asyncio.events._set_running_loop(None)
            asyncio.run(_try_to_open(url, journal))
        while time.monotonic() < end:
            time.sleep(0.02)
            if os.getppid() != worker and not told:
                told = True
                journal.write_for(os.getpid(), "orphan")
    finally:
        os._exit(0)


async def _try_to_open(url: str, journal: Journal) -> None:
    """Append to the same file through a store of the child's own."""
    try:
        await Doer(store=url, queue=QUEUE).append(Deed())
        journal.write_for(os.getpid(), "unrefused")
    except OperationError:
        journal.write_for(os.getpid(), "refused")
