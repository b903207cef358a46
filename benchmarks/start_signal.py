"""One of several processes that start together: it waits for a signal, works, and reports the time.

Other libraries import it in their environments, so it needs only the standard library.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

INTERVAL = 0.02
"""Seconds between two reports."""


class StartSignal:
    """Waits for the signal, and reports; its clock is the same in all processes."""

    def __init__(self) -> None:
        self.began = 0
        self.effort = 0.0

    def wait(self) -> None:
        """Report that this process is ready, and wait for the signal to begin."""
        say({"ready": True})
        if not sys.stdin.readline():
            raise SystemExit("no signal came")
        self.effort = cpu_seconds()
        self.began = perf_counter_ns()

    def finish(self, **figures: Any) -> None:
        """Report that the work is done now, and wait until the other processes are done."""
        ended = perf_counter_ns()
        took = cpu_seconds() - self.effort
        say({"began": self.began, "ended": ended, "cpu": took, **figures})
        sys.stdin.readline()

    def report(self, count: Callable[[], int]) -> None:
        """Report the number of finished jobs whenever it changes, while the parent lives."""
        threading.Thread(target=self._report, args=(count, os.getppid()), daemon=True).start()

    def _report(self, count: Callable[[], int], parent: int) -> None:
        rest = threading.Event()
        last = -1
        while not rest.wait(INTERVAL):
            if os.getppid() != parent:
                os._exit(1)
            done = count()
            if done != last:
                last = done
                cpu = cpu_seconds() - self.effort
                say({"done": done, "at": perf_counter_ns(), "cpu": cpu})


def cpu_seconds() -> float:
    """Return the processor time of this process and its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()
