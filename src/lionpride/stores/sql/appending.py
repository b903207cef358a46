"""Append: separates new events from known ones, and the errors for known ids."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from ...errors import ExistsError
from ..terms import Terms
from .rows import PENDING, PROCESSING, EventRow

if TYPE_CHECKING:
    from ...model.event_data import Work
    from .local_events import LocalEvents

__all__ = ("AppendRequest", "NotHeld", "append_or_find", "exists")


class NotHeld(Exception):
    """An append has met known events that this process has not built; nothing was appended."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(numbers)
        self.numbers = numbers


@dataclass(slots=True)
class AppendRequest:
    """Events to append, all or none; some of them may be known.

    Attributes:
        places: The columns of the events.
        foreign: The ids of the events that belong to another store.
        room: The queue limit.
        exist_ok: True to leave events with a known id unchanged.
        terms: The options of the append.
        has: Returns True if this process has the event of a number. It may be called in another
            thread. None if that does not matter.
    """

    places: Sequence[EventRow]
    foreign: frozenset[bytes] = frozenset()
    room: int | None = None
    exist_ok: bool = False
    terms: Terms | None = None
    has: Callable[[int], bool] | None = None

    def check_held(self, known: Iterable[int]) -> None:
        """Raise NotHeld if this process does not have one of the known events.

        Events are not built in a transaction, since the code of their classes may take long.
        """
        if self.has is not None:
            has = self.has
            if unknown := [number for number in known if not has(number)]:
                raise NotHeld(unknown)

    @property
    def single(self) -> str | None:
        """The unique key of the append; None if there is none."""
        unique = None if self.terms is None else self.terms.unique
        return None if unique is None else unique[0]

    def is_stood_for(self, since: float, status: str) -> bool:
        """Return True if the newest event with the unique key replaces the event to append.

        Args:
            since: The time at which that event was appended.
            status: Its status.
        """
        assert self.terms is not None
        assert self.terms.unique is not None
        waits = status in (PENDING, PROCESSING)
        return self.terms.are_met_by((self.terms.unique[0], since), waits)

    def fresh(
        self, known: Container[bytes], refused: Callable[[bytes], ExistsError]
    ) -> dict[bytes, EventRow]:
        """Return the new events, each once.

        Args:
            known: The known ids.
            refused: Returns the error for a known id.
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
        """Return the number of each event, and True if it is new."""
        return [
            (known[place.id], False) if place.id in known else (new[place.id], True)
            for place in self.places
        ]


async def append_or_find(
    request: AppendRequest,
    local_events: LocalEvents,
    ask: Callable[[], Awaitable[list[Work]]],
    see: Callable[[Sequence[int]], Awaitable[None]],
) -> list[Work]:
    """Append events, all or none. Known events are built before anything is appended.

    Args:
        request: The events to append.
        local_events: The event objects of this process.
        ask: Makes the request, and returns the event objects.
        see: Reads the columns of events by number.

    Raises:
        OperationError: if a known event cannot be read in this process; nothing was appended.
    """
    built: dict[int, Work | None] = {}  # kept until the append is noted
    request.has = lambda number: number in built or local_events.cache.has(number)
    while True:
        try:
            return await ask()
        except NotHeld as error:
            await see(error.numbers)
            built |= {number: local_events.find_known(number) for number in error.numbers}


def exists(uid: bytes, elsewhere: str | None = None, whole: str = "") -> ExistsError:
    """Return the error for a known id.

    Args:
        uid: The id.
        elsewhere: The name of the queue that has the id, if it is another one.
        whole: The container of both queues: "file" or "schema".
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
