"""EventData: the data part of an event. ``engine.event.Event`` adds the code that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar

from pydantic import Field, field_validator

from ..errors import OperationError, ValidationError
from .costs import REQUEST, check_costs
from .element import Element
from .execution import KEYS, USUAL_KEYS, EventStatus, Execution
from .finite import LARGEST
from .progress import BEGAN, ENTRY
from .serialization.codec import Encoder, error_to_dict
from .unset import MaybeUnset

__all__ = ("EventData",)

E = TypeVar("E", bound="EventData")


_RESERVED: Mapping[str, str] = {
    **Element.reserved(),
    "execution": "the state of the event",
    "status": "the status of the event",
    "response": "the response of the event",
    "request": "the keyword arguments of request_permission",
    "invoke": "runs the event",
    "stream": "runs the event, chunk by chunk",
    "retry": "the retry policy, a ClassVar",
    "costs": "the costs of the event, by limit",
    "key": "the key for limits with per_key",
    "spend": "states the actual costs",
    "progress": "reports the progress of the event",
    "max_chunks": "the maximum number of chunks, a ClassVar",
    "as_fresh_event": "a copy to run again",
}

_OURS = {BEGAN, "_actions", "_leased", "_meter", "_picked", "_since", "_solo", "_told", ENTRY}


class EventData(Element):
    """An element with an execution: the part of an event that stores read and write.

    Args:
        timeout: Seconds that one attempt may take; None for no limit.
        streaming: True if the event yields chunks instead of returning one response.
        execution: The initial state, in the form of its ``to_dict``; pending by default.
    """

    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    streaming: bool = False

    @field_validator("timeout")
    @classmethod
    def _check_timeout(cls, value: float | None) -> float | None:
        """Check the bounds, also for a subclass that declares the field again to set a default."""
        if value is not None and not (value > 0 and isfinite(value)):
            raise ValueError(f"timeout must be positive and finite, in seconds, not {value}")
        return value

    max_chunks: ClassVar[int] = 1_000_000
    """Maximum number of chunks of a stream; with more it is FAILED, and the first ones are kept."""

    if TYPE_CHECKING:
        execution: Execution = Field(default_factory=Execution)
    else:

        @property
        def execution(self) -> Execution:
            """The state of the event: status, result and counters."""
            return Execution.over(self.__dict__)

    @classmethod
    def _entries(cls) -> tuple[str, ...]:
        return (*super()._entries(), *USUAL_KEYS, BEGAN)

    @classmethod
    def reserved(cls) -> Mapping[str, str]:
        """Return names that a field of a subclass cannot have, each with its meaning."""
        return _RESERVED

    def _take_undeclared(self, data: dict[str, Any]) -> dict[str, Any]:
        if "execution" not in data:
            return super()._take_undeclared(data)
        entries = _entries_of(data.pop("execution"))
        return super()._take_undeclared(data) | entries

    @property
    def status(self) -> EventStatus:
        """The status of the event.

        It can be set, as an EventStatus or its text, while the event belongs to no executor.

        Raises:
            ValidationError: (setting) if it is not a status.
            OperationError: (setting) if the event belongs to an executor.
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
                f"status of {self!r} cannot be set to {status.value!r} by hand, since it "
                "belongs to an executor: use executor.cancel(event) or "
                "executor.retry(event)"
            )
        self.execution.status = status

    @property
    def response(self) -> MaybeUnset[Any]:
        """The response, or the chunks of a stream; Unset while there is none."""
        return self.execution.response

    @property
    def costs(self) -> Mapping[str, float]:
        """Amounts that an attempt reserves of each limit, by the limit's name; override it.

        The default is one request. The result should depend on the fields alone: a store may read
        it at the append or at the claim.
        """
        return REQUEST

    @classmethod
    def has_usual_costs(cls) -> bool:
        """Return True if every event of the class costs one request, and nothing else."""
        return not cls.has_own_costs()

    @classmethod
    def has_own_costs(cls) -> bool:
        """Return True if the class overrides ``costs``."""
        return cls.costs is not EventData.costs

    @property
    def key(self) -> str | None:
        """The key for limits with ``per_key``, such as a tenant or a host; override it."""
        return None

    def spend(self, **costs: float) -> None:
        """State the total costs of the running attempt so far, by the names of limits.

        Call it in ``_invoke`` or ``_stream``, as often as new costs are known. If the reservation
        was higher, the rest is returned to the limit. If it was lower, the excess is taken even if
        it is not available, and later events wait for it. Names without a limit are ignored.

        >>> self.spend(tokens=reply["usage"]["total_tokens"])

        Raises:
            ValidationError: for an amount that is not a finite number >= 0.
            OperationError: if the event is not running.
        """
        state_costs(self, costs)

    def as_fresh_event(self, copy_meta: bool = False) -> Self:
        """Return a pending copy with a new identity, which belongs to no executor.

        Args:
            copy_meta: True to copy the metadata. In any case, ``metadata["original"]`` of the copy
                has the ``id`` (text) and ``created_at`` of this event.
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
        """Decode the tags in data, except those of the error: its record has its own."""
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
        return super(EventData, copy(self)).__deepcopy__(memo)  # of a copy that is detached

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        own = {key: value for key, value in state["__dict__"].items() if key not in _TRANSIENT}
        return {**state, "__dict__": own}


EventData.kept_entries = Element.kept_entries | KEYS | _OURS


def state_costs(event: EventData, costs: dict[str, float]) -> None:
    """See ``EventData.spend``."""
    for amount in costs.values():
        if type(amount) is not int or not 0 <= amount <= LARGEST:
            check_costs("spend", costs)
    meter = event.__dict__.get("_meter")
    if meter is not None:
        meter.spend(costs)
    elif event.status is not EventStatus.PROCESSING:
        raise OperationError(
            f"{event!r} is not running: spend() states the costs of a running attempt, so "
            "call it in _invoke"
        )


def _entries_of(value: Any) -> dict[str, Any]:
    if type(value) is dict and value == {"status": "pending"}:  # as it is in most data
        return {"_status": "pending"}
    if isinstance(value, Execution):
        return value.entries()
    if isinstance(value, Mapping):
        return Execution.from_dict(value).entries()
    raise ValidationError(f"execution must be an Execution or what its to_dict gave, not {value!r}")


def _state_of(event: EventData) -> dict[str, Any]:
    """Return the state with Python's objects, but with the error as a record as in JSON."""
    state = event.execution.to_dict("python")
    if state.get("error") is not None:
        state["error"] = error_to_dict(state["error"])
    return state


_TRANSIENT = ("_arrival", *_OURS)
"""Entries that tie an event to its executor and its run; a copy does not have them."""


def _freed(event: E) -> E:
    """Detach a copied event from the executor and the run of the original."""
    for key in _TRANSIENT:
        event.__dict__.pop(key, None)
    return event
