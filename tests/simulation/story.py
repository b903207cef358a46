"""What has happened: each step, and what is known of all before."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from simulation.shown import Token

from lionpride.rules.state_machine import Ending
from lionpride.stores.record import Record


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Step:
    """A verb, what it was given, what it answered and what the reference answers.

    Attributes:
        by: The number of the process that took it.
        swept: The tokens whose leases had lapsed and were ended.
        gone: What was pruned.
        wait: What a claim said of the next one.
        dumps: Records, and what became of each after a round trip.
        stale, unsure: Ids of which who looks may not have known the truth before, or after it.
        moved: What was under way when the process was killed, and is on record.
        renewed: Whether who looks is another process than before.
        resolved: What was released, cancelled or blocked for its parents.
        parents: Parents of some events: as the store lists them, and as the reference does.
    """

    verb: str
    given: dict[str, Any] = field(default_factory=dict)
    answer: Any = None
    expected: Any = None
    rows: dict[UUID, Any] = field(default_factory=dict)
    eligible: list[UUID] = field(default_factory=list)
    by: int = 0
    swept: list[Token] = field(default_factory=list)
    gone: list[UUID] = field(default_factory=list)
    wait: float | None = None
    dumps: list[tuple[Record, Record]] = field(default_factory=list)
    stale: set[UUID] = field(default_factory=set)
    unsure: set[UUID] = field(default_factory=set)
    moved: set[UUID] = field(default_factory=set)
    renewed: bool = False
    resolved: set[UUID] = field(default_factory=set)
    parents: list[tuple[Any, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{name}={short(value)}" for name, value in self.given.items())
        return f"{self.verb}({told}) -> {short(self.answer)}"


@dataclass
class History:
    """What has happened so far, as the store itself has said.

    Attributes:
        here: Ids that were accepted and have not been pruned or removed.
        attempts: The highest attempt that was handed out, for each id ever known.
        outstanding: Claims that have not been settled, and the process of each.
        applied: Tokens whose settlement was applied.
        asked: Claims whose cancel was answered, but for those of events that were retried since.
        partial: Whether a process shows only what it knows.
    """

    here: set[UUID] = field(default_factory=set)
    attempts: dict[UUID, int] = field(default_factory=dict)
    outstanding: dict[Token, int] = field(default_factory=dict)
    applied: set[Token] = field(default_factory=set)
    asked: set[Token] = field(default_factory=set)
    partial: bool = False


def short(value: Any) -> str:
    """A value with each id cut to its beginning."""
    if isinstance(value, UUID):
        return value.hex[:4]
    if isinstance(value, Exception):
        return type(value).__name__
    if isinstance(value, dict):
        return f"{{{', '.join(f'{short(k)}: {short(v)}' for k, v in value.items())}}}"
    if isinstance(value, tuple | list | set | frozenset):
        return f"[{', '.join(map(short, value))}]"
    if isinstance(value, Ending):
        counts = {name: getattr(value, name) for name in ("delay", "denials", "tries")}
        return " ".join([value.status, *(f"{k}={v}" for k, v in counts.items() if v)])
    return getattr(value, "name", None) or repr(value)
