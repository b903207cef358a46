"""Taking events in: which of them are new, and what is said of those that are not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from ...errors import ExistsError
from ..terms import Terms
from .rows import PENDING, PROCESSING, EventRow

if TYPE_CHECKING:
    from ...model.work import Work
    from .local_events import LocalEvents

__all__ = ("Appending", "NotHeld", "append_or_find", "exists")


class NotHeld(Exception):
    """An append has met known events that this process has not built; nothing was appended."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(numbers)
        self.numbers = numbers


@dataclass(slots=True)
class Appending:
    """Events to take in, all or none; they may be known, or on record elsewhere.

    Attributes:
        places: The events.
        foreign: Those of them that another store holds.
        room: How many may wait afterwards.
        exist_ok: Whether a known id is left as it stands.
        terms: What else is asked.
        has: Whether this process has the event of a number; None: that does not matter. It may be
            called in another thread.
    """

    places: Sequence[EventRow]
    foreign: frozenset[bytes] = frozenset()
    room: int | None = None
    exist_ok: bool = False
    terms: Terms | None = None
    has: Callable[[int], bool] | None = None

    def check_held(self, known: Iterable[int]) -> None:
        """Raise NotHeld if this process does not have known events: it may be unable to.

        Events are not built in a transaction, since the code of their classes may take long.
        """
        if self.has is not None:
            has = self.has
            if unknown := [number for number in known if not has(number)]:
                raise NotHeld(unknown)

    @property
    def single(self) -> str | None:
        """The value of which there may be one; None if that is not asked."""
        unique = None if self.terms is None else self.terms.unique
        return None if unique is None else unique[0]

    def is_stood_for(self, since: float, status: str) -> bool:
        """Whether the newest event of the value stands for the one to append.

        Args:
            since: When that was appended.
            status: Its status.
        """
        assert self.terms is not None
        assert self.terms.unique is not None
        waits = status in (PENDING, PROCESSING)
        return self.terms.are_met_by((self.terms.unique[0], since), waits)

    def fresh(
        self, known: Container[bytes], refused: Callable[[bytes], ExistsError]
    ) -> dict[bytes, EventRow]:
        """The events that are not here yet, each once.

        Args:
            known: The ids that are here.
            refused: Says that an id is known.
        """
        fresh: dict[bytes, EventRow] = {}
        for place in self.places:
            if place.id in known or place.id in fresh:
                if not self.exist_ok:
                    raise refused(place.id)
            elif place.id in self.foreign:
                raise ExistsError(
                    f"the event of id {UUID(bytes=place.id)} belongs to another executor: "
                    "append event.as_fresh_event(), or load(executor.states.to_dict()) to "
                    "take over copies of all"
                )
            else:
                fresh[place.id] = place
        return fresh

    def answer(
        self, known: Mapping[bytes, int], new: Mapping[bytes, int]
    ) -> list[tuple[int, bool]]:
        """The number of each event, and whether it is new."""
        return [
            (known[place.id], False) if place.id in known else (new[place.id], True)
            for place in self.places
        ]


async def append_or_find(
    step: Appending,
    local_events: LocalEvents,
    ask: Callable[[], Awaitable[list[Work]]],
    see: Callable[[Sequence[int]], Awaitable[None]],
) -> list[Work]:
    """Append events, all or none. Events that are known are built before anything is appended.

    Args:
        step: What is appended.
        local_events: The events that this process has.
        ask: Has the step taken, and returns the events as they are held.
        see: Reads what events of these numbers are built of.

    Raises:
        OperationError: if a known event cannot be read in this process; nothing was appended.
    """
    built: dict[int, Work | None] = {}  # kept until the append is noted
    step.has = lambda number: number in built or local_events.cache.has(number)
    while True:
        try:
            return await ask()
        except NotHeld as error:
            await see(error.numbers)
            built |= {number: local_events.find_known(number) for number in error.numbers}


def exists(uid: bytes, elsewhere: str | None = None, whole: str = "") -> ExistsError:
    """Says that an id is known, and in which queue if that is another one.

    Args:
        uid: The id.
        elsewhere: The other queue's name.
        whole: What has both queues: a file, a schema.
    """
    if elsewhere is not None:
        return ExistsError(
            f"an event of id {UUID(bytes=uid)} is known in queue {elsewhere!r} of this {whole}: "
            "nothing was appended; append event.as_fresh_event(), or look for it in that queue"
        )
    return ExistsError(
        f"an event of id {UUID(bytes=uid)} is known here already: nothing was appended; append "
        "event.as_fresh_event(), or pass exist_ok=True"
    )
