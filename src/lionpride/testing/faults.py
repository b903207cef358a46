"""Faults: a store that fails, is slow, or loses its answer, when the test says so."""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

from ..errors import StoreError, ValidationError
from ..stores.contract import Immediate, Prompt, Store

__all__ = ("VERBS", "Fault", "Faults", "delay", "fail", "lose")

S = TypeVar("S", bound=Store)

Kind: TypeAlias = Literal["fail", "lose", "delay"]

VERBS: Final = tuple(
    name for name, verb in vars(Store).items() if inspect.iscoroutinefunction(verb)
)
"""The verbs of a store that may fail: those that are awaited."""

_SHORT_WAYS: Final = frozenset(
    name
    for protocol in (Immediate, Prompt)
    for name, value in vars(protocol).items()
    if callable(value) and not name.startswith("_")
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at one call.

    Attributes:
        verb: Of which verb: ``"append"``, ``"claim"``, ``"settle"``, … (``VERBS``).
        nth: At which of its calls, from 1 up.
        kind: "fail": nothing is done, and the error raised. "lose": it is done, and the error
            raised instead of the answer. "delay": it is done after ``seconds``.
        seconds: How long a delay is, by the event loop's clock.
        error: What is raised; by default a StoreError that names the fault.
    """

    verb: str
    nth: int
    kind: Kind
    seconds: float = 0.0
    error: Exception | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _check_verb(self.verb)
        if type(self.nth) is not int or self.nth < 1:
            raise ValidationError(f"nth must be a whole number from 1 up, not {self.nth!r}")
        if not 0 <= self.seconds < float("inf"):
            raise ValidationError(f"seconds must be finite and >= 0, not {self.seconds!r}")

    def problem(self) -> Exception:
        """What is raised."""
        if self.error is not None:
            return self.error
        return StoreError(f"injected: call {self.nth} of {self.verb}: {self.kind}")


def fail(verb: str, nth: int = 1, error: Exception | None = None) -> Fault:
    """The nth call does nothing and raises.

    Raises:
        ValidationError: if the store has no such verb, or ``nth`` is no whole number from 1 up.
    """
    return Fault(verb, nth, "fail", error=error)


def lose(verb: str, nth: int = 1, error: Exception | None = None) -> Fault:
    """The nth call does all and raises all the same, as when an acknowledgement is lost.

    Raises:
        ValidationError: as ``fail``.
    """
    return Fault(verb, nth, "lose", error=error)


def delay(verb: str, seconds: float, nth: int = 1) -> Fault:
    """The nth call takes so many seconds more.

    Raises:
        ValidationError: as ``fail``, or if the seconds are not finite and >= 0.
    """
    return Fault(verb, nth, "delay", seconds)


class Faults:
    """A plan of faults, and the record of what has happened.

    >>> faults = Faults(fail("append", nth=2), lose("settle"))
    >>> executor = Desk(store=faults.around(MemoryStore()))

    Args:
        faults: What is to happen; at one call, all that name it, delays first.

    Attributes:
        calls: How often each verb was called.
        happened: The faults that have happened, in order.
    """

    def __init__(self, *faults: Fault) -> None:
        self._plan: Callable[[str, int], list[Fault]] = lambda verb, nth: [
            fault for fault in faults if (fault.verb, fault.nth) == (verb, nth)
        ]
        self.calls: Counter[str] = Counter()
        self.happened: list[Fault] = []

    @classmethod
    def at_random(
        cls,
        seed: int,
        rate: float,
        *,
        verbs: Collection[str] = VERBS,
        kinds: Collection[Kind] = ("fail", "lose", "delay"),
        longest: float = 1.0,
    ) -> Faults:
        """Faults by chance, the same for the same seed: whether a call is hit depends on nothing
        but the seed, the verb, and how often it was called before.

        Args:
            seed: Of the dice.
            rate: The part of the calls that is hit, 0 to 1.
            verbs: Of which verbs.
            kinds: What may happen.
            longest: The longest delay, in seconds.

        Raises:
            ValidationError: if the rate is not between 0 and 1, or the store has no such verb.
        """
        if not 0 <= rate <= 1:
            raise ValidationError(f"rate must be between 0 and 1, not {rate!r}")
        for verb in verbs:
            _check_verb(verb)

        def plan(verb: str, nth: int) -> list[Fault]:
            dice = random.Random(f"{seed}:{verb}:{nth}")  # noqa: S311  # tests want the same again
            if verb not in verbs or dice.random() >= rate:
                return []
            kind = dice.choice(tuple(kinds))
            return [Fault(verb, nth, kind, dice.uniform(0, longest) if kind == "delay" else 0.0)]

        faults = cls()
        faults._plan = plan  # its own
        return faults

    def around(self, store: S) -> S:
        """The store with these faults; typed as what it wraps.

        It has the verbs of the contract alone: the short ways of the store in memory and of the
        one in a file, which the engine takes where it can, would not meet a fault.
        """
        return cast("S", _Faulty(store, self))

    async def call(self, verb: str, work: Callable[..., Any], *args: Any, **how: Any) -> Any:
        """Call a verb, with whatever is to happen at this call of it."""
        self.calls[verb] += 1
        faults = self._plan(verb, self.calls[verb])
        self.happened += faults
        for fault in faults:
            if fault.kind == "delay":
                await asyncio.sleep(fault.seconds)
        for fault in faults:
            if fault.kind == "fail":
                raise fault.problem()
        answer = await work(*args, **how)
        for fault in faults:
            if fault.kind == "lose":
                raise fault.problem()
        return answer


class _Faulty:
    """A store around a store."""

    def __init__(self, inner: Store, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        if name in _SHORT_WAYS:
            raise AttributeError(name)
        found = getattr(self._inner, name)
        return functools.partial(self._faults.call, name, found) if name in VERBS else found


def _check_verb(verb: str) -> None:
    if verb not in VERBS:
        raise ValidationError(f"a store has no verb {verb!r}: it has {', '.join(VERBS)}")
