"""Taking events in: which of them are new, and what is said of those that are not."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from ...errors import ExistsError
from ..terms import Terms
from .forms import PENDING, PROCESSING, Place

__all__ = ("Appending", "exists")


@dataclass(slots=True)
class Appending:
    """Events to take in, all or none; they may be known, or on record elsewhere.

    Attributes:
        places: The events.
        foreign: Those of them that another store holds.
        room: How many may wait afterwards.
        exist_ok: Whether a known id is left as it stands.
        terms: What else is asked.
    """

    places: Sequence[Place]
    foreign: frozenset[bytes] = frozenset()
    room: int | None = None
    exist_ok: bool = False
    terms: Terms | None = None

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
    ) -> dict[bytes, Place]:
        """The events that are not here yet, each once.

        Args:
            known: The ids that are here.
            refused: Says that an id is known.
        """
        fresh: dict[bytes, Place] = {}
        for place in self.places:
            if place.id in known or place.id in fresh:
                if not self.exist_ok:
                    raise refused(place.id)
            elif place.id in self.foreign:
                raise ExistsError(
                    f"the event of id {UUID(bytes=place.id)} is held by another executor: append "
                    "event.as_fresh_event(), or load(executor.states.to_dict()) to take over "
                    "copies of all"
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
