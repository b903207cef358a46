"""A member of a fleet: it gets ready, waits for the word, works, and says how long it took.

Imported by peers in environments of their own, so it needs nothing but the standard library.
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

GLANCE = 0.02
"""Seconds between two reports of how much is done."""


class Gate:
    """Where a member waits, and where it reports; times are those that all processes share."""

    def __init__(self) -> None:
        self.began = 0
        self.effort = 0.0

    def wait(self) -> None:
        """Say that all is ready, and wait for the word to begin."""
        say({"ready": True})
        if not sys.stdin.readline():
            raise SystemExit("nobody gave the word")
        self.effort = cpu_seconds()
        self.began = perf_counter_ns()

    def finish(self, **figures: Any) -> None:
        """Say that the work is done, as of now, and stay until the others are done too."""
        ended = perf_counter_ns()
        took = cpu_seconds() - self.effort
        say({"began": self.began, "ended": ended, "cpu": took, **figures})
        sys.stdin.readline()

    def report(self, count: Callable[[], int]) -> None:
        """From now on say how much is done whenever it has changed, as long as somebody listens."""
        threading.Thread(target=self._report, args=(count, os.getppid()), daemon=True).start()

    def _report(self, count: Callable[[], int], listener: int) -> None:
        rest = threading.Event()
        last = -1
        while not rest.wait(GLANCE):
            if os.getppid() != listener:
                os._exit(1)
            done = count()
            if done != last:
                last = done
                cpu = cpu_seconds() - self.effort
                say({"done": done, "at": perf_counter_ns(), "cpu": cpu})


def cpu_seconds() -> float:
    """What this process has used of the processors, with those of its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()
