"""Faults: a store that fails, is slow, or loses its answer, as the test specifies."""

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
from ..stores.contract import BufferedPath, ImmediatePath, Store

__all__ = ("VERBS", "Fault", "Faults", "delay", "fail", "lose")

S = TypeVar("S", bound=Store)

Kind: TypeAlias = Literal["fail", "lose", "delay"]

VERBS: Final = tuple(
    name for name, verb in vars(Store).items() if inspect.iscoroutinefunction(verb)
)
"""Methods of a store that can fail: those that are awaited."""

_FAST_PATHS: Final = frozenset(
    name
    for protocol in (BufferedPath, ImmediatePath)
    for name, value in vars(protocol).items()
    if callable(value) and not name.startswith("_")
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault at one call of a store's method.

    Attributes:
        verb: The method: ``"append"``, ``"claim"``, ``"settle"``, … (``VERBS``).
        nth: The number of the call, from 1.
        kind: "fail": nothing is done, and the error is raised. "lose": the call is carried out, and
            the error is raised instead of the answer. "delay": it is carried out after ``seconds``.
        seconds: Length of a delay, by the event loop's clock.
        error: The error; by default a StoreError that names the fault.
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
        """Return the error to raise."""
        if self.error is not None:
            return self.error
        return StoreError(f"injected: call {self.nth} of {self.verb}: {self.kind}")


def fail(verb: str, nth: int = 1, error: Exception | None = None) -> Fault:
    """Return a fault: the nth call does nothing and raises an error.

    Raises:
        ValidationError: if the store has no such method, or ``nth`` is not an integer >= 1.
    """
    return Fault(verb, nth, "fail", error=error)


def lose(verb: str, nth: int = 1, error: Exception | None = None) -> Fault:
    """Return a fault: the nth call is carried out and raises, as if its acknowledgement were lost.

    Raises:
        ValidationError: see ``fail``.
    """
    return Fault(verb, nth, "lose", error=error)


def delay(verb: str, seconds: float, nth: int = 1) -> Fault:
    """Return a fault: the nth call takes a number of seconds more.

    Raises:
        ValidationError: see ``fail``; also if the seconds are not finite and >= 0.
    """
    return Fault(verb, nth, "delay", seconds)


class Faults:
    """A plan of faults, and a record of those that have happened.

    >>> faults = Faults(fail("append", nth=2), lose("settle"))
    >>> executor = Emails(store=faults.around(MemoryStore()))

    Args:
        faults: The planned faults. If several name one call, all apply, delays first.

    Attributes:
        calls: Number of calls of each method.
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
        """Return random faults, which are the same for the same seed.

        The seed, the method and the number of its call alone decide whether a call has a fault.

        Args:
            seed: Seed of the random numbers.
            rate: Share of the calls that have a fault, 0 to 1.
            verbs: The methods that have faults.
            kinds: The possible kinds.
            longest: The longest delay, in seconds.

        Raises:
            ValidationError: if the rate is not between 0 and 1, or the store has no such method.
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
        """Return the store with these faults; it has the type of the wrapped store.

        It has only the methods of the contract. It lacks the fast paths of the stores in memory and
        in SQLite, which the engine prefers, as calls of these would not meet a fault.
        """
        return cast("S", _Faulty(store, self))

    async def call(self, verb: str, work: Callable[..., Any], *args: Any, **how: Any) -> Any:
        """Call a method, with the fault that is planned for this call."""
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
        if name in _FAST_PATHS:
            raise AttributeError(name)
        found = getattr(self._inner, name)
        return functools.partial(self._faults.call, name, found) if name in VERBS else found


def _check_verb(verb: str) -> None:
    if verb not in VERBS:
        raise ValidationError(f"a store has no verb {verb!r}: it has {', '.join(VERBS)}")
