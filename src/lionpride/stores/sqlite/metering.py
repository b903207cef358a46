"""What claims under limits have taken of the file is changed."""

from __future__ import annotations

from dataclasses import dataclass

from ..sql.metering import Begin, Deed, Halt, Spend
from ..sql.takings import Held
from .rows import Rows

__all__ = ("HaltQueue", "Meter")


@dataclass(slots=True)
class HaltQueue:
    """Let nothing of the queue be claimed before a time."""

    until: float

    def __call__(self, rows: Rows) -> None:
        rows.takings.halt_queue(rows.name, self.until)


@dataclass(slots=True)
class Meter:
    """Do what a meter asks for; nothing, if the claim was lost."""

    deed: Deed

    def __call__(self, rows: Rows) -> None:
        match self.deed:
            case Begin():
                _begin(rows, self.deed)
            case Spend():
                _spend(rows, self.deed)
            case Halt():
                _halt(rows, self.deed)


def _begin(rows: Rows, deed: Begin) -> None:
    held = rows.takings.held_by(deed.number, deed.attempt)
    if held is not None:
        rows.takings.spend_held(deed.number, deed.attempt, deed.at)
        kept = {pool: one for pool, one in held.items() if one.per is None}
        rows.takings.hold(deed.number, kept)


def _spend(rows: Rows, deed: Spend) -> None:
    takings = rows.takings
    held = takings.held_by(deed.number, deed.attempt)
    if held is None:
        return
    for one in deed.back:
        takings.take_back(*one)
    for more in deed.more:
        takings.stamp_at(*more)
    if deed.held:
        held.update({pool: Held(amount, None) for pool, amount in deed.held.items()})
        takings.hold(deed.number, {pool: one for pool, one in held.items() if one.amount})


def _halt(rows: Rows, deed: Halt) -> None:
    if rows.takings.held_by(deed.number, deed.attempt) is None:
        return
    if deed.pool is None:
        rows.takings.pause_queue(rows.name, deed.until)
    else:
        rows.takings.pause(deed.pool, deed.until)
