"""Settings of one run of the benchmarks, and the folder and server that its questions share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benchmarks import disk
from benchmarks.postgres_server import BenchmarkServer, serve


@dataclass
class Run:
    """One run.

    Attributes:
        sizes: Numbers of events.
        rounds: How often each candidate is measured.
        finished: Events that are in the database before, where growth is measured.
    """

    sizes: Sequence[int]
    rounds: int
    finished: int
    stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def folder(self) -> Path:
        """A folder on a real disk; it is removed at the end."""
        return self.stack.enter_context(disk.scratch())

    @cached_property
    def server(self) -> BenchmarkServer:
        """A PostgreSQL server, started at the first use.

        Raises:
            MeasurementError: if it does not start.
        """
        return self.stack.enter_context(serve(self.folder))
