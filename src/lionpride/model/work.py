"""Work: something to do, as plain data. ``engine.event.Event`` adds how it is done."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar

from pydantic import Field, field_validator

from ..errors import OperationError, ValidationError
from .codec import Encoder, error_to_dict
from .costs import REQUEST, check_costs
from .element import Element
from .execution import KEYS, USUAL_KEYS, EventStatus, Execution
from .finite import LARGEST
from .live import BEGAN, ENTRY
from .unset import MaybeUnset

__all__ = ("Work",)

W = TypeVar("W", bound="Work")


_RESERVED: Mapping[str, str] = {
    **Element.reserved(),
    "execution": "what has become of the event",
    "status": "where the event stands",
    "response": "what the event gave",
    "request": "what request_permission is asked with",
    "invoke": "runs the event",
    "stream": "runs the event, chunk by chunk",
    "retry": "the retry policy, a ClassVar",
    "costs": "what the event takes of each limit",
    "key": "what concurrency is counted by",
    "spend": "states the true cost",
    "progress": "reports how far the event is",
    "max_chunks": "the most chunks of a stream, a ClassVar",
    "as_fresh_event": "the same work to do again",
}

_OURS = {BEGAN, "_meter", "_picked", "_since", "_solo", "_told", ENTRY}


class Work(Element):
    """An element with an execution: what a store keeps, and what it knows of it.

    Args:
        timeout: Seconds that one attempt may take; None: as long as it needs.
        streaming: Whether the work yields chunks instead of returning one response.
        execution: The state to begin with, as ``to_dict`` wrote it; pending by default.
    """

    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    streaming: bool = False

    @field_validator("timeout")
    @classmethod
    def _check_timeout(cls, value: float | None) -> float | None:
        """The bounds again, for a subclass that declares the field anew to set a default."""
        if value is not None and not (value > 0 and isfinite(value)):
            raise ValueError(f"timeout must be positive and finite, in seconds, not {value}")
        return value

    max_chunks: ClassVar[int] = 1_000_000
    """A stream that yields more chunks than this has FAILED; those before are kept."""

    if TYPE_CHECKING:
        execution: Execution = Field(default_factory=Execution)
    else:

        @property
        def execution(self) -> Execution:
            """What has become of it so far."""
            return Execution.over(self.__dict__)

    @classmethod
    def _entries(cls) -> tuple[str, ...]:
        return (*super()._entries(), *USUAL_KEYS, BEGAN)

    @classmethod
    def reserved(cls) -> Mapping[str, str]:
        """Names that no field of a subclass may take, each with what it is."""
        return _RESERVED

    def _take_undeclared(self, data: dict[str, Any]) -> dict[str, Any]:
        if "execution" not in data:
            return super()._take_undeclared(data)
        entries = _entries_of(data.pop("execution"))
        return super()._take_undeclared(data) | entries

    @property
    def status(self) -> EventStatus:
        """Where the work stands.

        It may be set, by enum or value, while nobody holds the event.

        Raises:
            ValidationError: (setting) if it is no status.
            OperationError: (setting) if an executor holds the event.
        """
        return self.execution.status

    @status.setter
    def status(self, value: EventStatus | str) -> None:
        try:
            status = EventStatus(value)
        except ValueError:
            raise ValidationError(f"status {value!r} is none of {', '.join(EventStatus)}") from None
        if self.execution.arrival is not None:
            raise OperationError(
                f"status of {self!r} cannot be set to {status.value!r} by hand, since an executor "
                "holds it: use executor.cancel(event) or executor.retry(event)"
            )
        self.execution.status = status

    @property
    def response(self) -> MaybeUnset[Any]:
        """What the work gave: the response, or its chunks; Unset while there is none."""
        return self.execution.response

    @property
    def costs(self) -> Mapping[str, float]:
        """How much it takes of each limit, by name: one request; override it.

        It should depend on the fields alone: a store may ask when the event is taken in, or
        when it is claimed.
        """
        return REQUEST

    @classmethod
    def has_usual_costs(cls) -> bool:
        """Whether every event of the class costs one request, and nothing else."""
        return not cls.has_own_costs()

    @classmethod
    def has_own_costs(cls) -> bool:
        """Whether the class says itself what its events cost."""
        return cls.costs is not Work.costs

    @property
    def key(self) -> str | None:
        """By whom it is counted where a limit has ``per_key``: a tenant, a host; override it."""
        return None

    def spend(self, **costs: float) -> None:
        """State what the running attempt has cost so far, in all, by the names of limits.

        Call it in ``_invoke`` or ``_stream``, as often as more is known. What was reserved
        beyond it is given back; what goes beyond that is taken, whether there is so much or not,
        and those who come later wait for it. A name that no limit has is left alone.

        >>> self.spend(tokens=reply["usage"]["total_tokens"])

        Raises:
            ValidationError: for an amount that is no finite number from 0 up.
            OperationError: if the event does not run.
        """
        state_costs(self, costs)

    def as_fresh_event(self, copy_meta: bool = False) -> Self:
        """The same work to do again: a new identity, pending, held by nobody.

        Args:
            copy_meta: Whether the metadata comes along. Either way ``metadata["original"]``
                has the ``id`` (text) and ``created_at`` of this one.
        """
        meta = dict(self.metadata) if copy_meta else {}
        meta["original"] = {"id": str(self.id), "created_at": self.created_at}
        fresh = self._renewed(meta)
        for key in KEYS:
            fresh.__dict__.pop(key, None)
        return fresh

    def _assembled(self, metadata: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        if KEYS.isdisjoint(self.__dict__):
            state: dict[str, Any] = {"status": "pending"}
        else:
            encoder = Encoder()
            state = self.execution.encoded(encoder)
            if encoder.tagged:
                metadata["lion_tags"] = True
        return super()._assembled(metadata, {"execution": state, **fields})

    @classmethod
    def _decoded(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The data with its tags resolved, but for the error, whose record has its own."""
        execution = data.get("execution")
        if not isinstance(execution, Mapping):
            return super()._decoded(data)
        error = {"error": execution["error"]} if "error" in execution else {}
        rest = {name: value for name, value in execution.items() if name != "error"}
        decoded = super()._decoded(data | {"execution": rest})
        decoded["execution"] |= error
        return decoded

    def _data(self, encoder: Encoder | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        data = super()._data(encoder, kwargs)
        if "execution" in data:
            data["execution"] = (
                _state_of(self) if encoder is None else self.execution.encoded(encoder)
            )
            if encoder is not None and encoder.tagged and "metadata" in data:
                data["metadata"]["lion_tags"] = True
        return data

    def _identity(self) -> dict[str, Any]:
        return super()._identity() | {"execution": _state_of(self)}

    def __copy__(self) -> Self:
        return _freed(super().__copy__())

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return super(Work, copy(self)).__deepcopy__(memo)  # of what nobody holds

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        own = {key: value for key, value in state["__dict__"].items() if key not in _TRANSIENT}
        return {**state, "__dict__": own}


Work.kept_entries = Element.kept_entries | KEYS | _OURS


def state_costs(work: Work, costs: dict[str, float]) -> None:
    """See ``Work.spend``."""
    for amount in costs.values():
        if type(amount) is not int or not 0 <= amount <= LARGEST:
            check_costs("spend", costs)
    meter = work.__dict__.get("_meter")
    if meter is not None:
        meter.spend(costs)
    elif work.status is not EventStatus.PROCESSING:
        raise OperationError(
            f"{work!r} does not run: spend() states what a running attempt costs, so call it "
            "in _invoke"
        )


def _entries_of(value: Any) -> dict[str, Any]:
    if type(value) is dict and value == {"status": "pending"}:  # as it is in most data
        return {"_status": "pending"}
    if isinstance(value, Execution):
        return value.entries()
    if isinstance(value, Mapping):
        return Execution.from_dict(value).entries()
    raise ValidationError(f"execution must be an Execution or what its to_dict gave, not {value!r}")


def _state_of(work: Work) -> dict[str, Any]:
    """Return the state with Python's objects, but with the error as a record as in JSON."""
    state = work.execution.to_dict("python")
    if state.get("error") is not None:
        state["error"] = error_to_dict(state["error"])
    return state


_TRANSIENT = ("_arrival", *_OURS)
"""What ties an event to whoever holds or runs it: no copy has it."""


def _freed(work: W) -> W:
    """A copied event, which nobody holds."""
    for key in _TRANSIENT:
        work.__dict__.pop(key, None)
    return work
