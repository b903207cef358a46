"""Stores that are spoilt on purpose: the crash tests have to notice each."""

from typing import Any

from lionpride.stores.sqlite import steps
from lionpride.stores.sqlite.pulse import Pulse
from lionpride.stores.sqlite.rows import Rows


def guard_by_id() -> None:
    """A settle ends the lease of its event, whoever has it by now."""

    def end_leases(self: Rows, claims: Any) -> bool:
        before = self._db.total_changes()
        self._db.executemany("DELETE FROM lease WHERE number = ?", [(n,) for n, _ in claims])
        if self._db.total_changes() - before != len(claims):
            return False
        self._count("processing", -len(claims))
        return True

    Rows.end_leases = end_leases  # type: ignore[method-assign]


def no_pulse() -> None:
    """Nobody renews the leases."""
    Pulse.beat_for = lambda self, workers: None  # type: ignore[method-assign]


def dead_or_alive() -> None:
    """Everybody is taken for dead."""
    steps.is_dead = lambda *process: True  # type: ignore[assignment]


MUTANTS = {each.__name__: each for each in (guard_by_id, no_pulse, dead_or_alive)}
"""By name, since they are put in by the worker process itself."""
