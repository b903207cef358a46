"""The key and the costs of an event whose class defines its own."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import ValidationError
from ...model.costs import check_costs
from ...model.event_data import EventData
from ..storable_text import check_text

__all__ = ("bill_on_record", "check_bill", "has_own_bill", "own_bill")


def has_own_bill(kind: type[EventData]) -> bool:
    """Return True if a class overrides ``costs`` or ``key``."""
    return kind.has_own_costs() or kind.key is not EventData.key


def own_bill(event: EventData) -> tuple[str | None, Mapping[str, float] | None]:
    """Return the key and the costs of an event; None for each that its class does not define.

    The default costs read the event's ``request``, whose code belongs to the start of the event.
    They are known here only if a check under limits has noted them.

    Raises:
        ValidationError: if they are invalid.
        BaseException: any error of the event's own code.
    """
    kind = type(event)
    key = None if kind.key is EventData.key else event.key
    costs = event.costs if kind.has_own_costs() else event.__dict__.get("_told")
    check_bill(kind, {} if costs is None else costs, key)
    return key, costs


def bill_on_record(event: EventData) -> tuple[str | None, dict[str, float]]:
    """Return the key and the costs of an event for a record; none if its code raises an error."""
    try:
        key, costs = own_bill(event)
    except BaseException:  # of the event's own code; a listing must not fail
        return None, {}
    return key, dict(costs or {})


def check_bill(kind: type[EventData], costs: object, key: object) -> None:
    """Check the costs and the key of an event.

    Raises:
        ValidationError: if they are invalid; the message names the value.
    """
    check_costs(f"{kind.__name__}.costs", costs)
    if key is not None and not isinstance(key, str):
        raise ValidationError(f"{kind.__name__}.key must be a text or None, not {key!r}")
    if key is not None and not key.isprintable():
        check_text(f"{kind.__name__}.key", key)
