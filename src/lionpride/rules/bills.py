"""Bills: what an event says of its costs, where it says anything of its own."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ValidationError
from ..model.costs import check_costs
from ..model.event_data import Work
from .texts import check_text

__all__ = ("bill_on_record", "check_bill", "has_own_bill", "own_bill")


def has_own_bill(kind: type[Work]) -> bool:
    """Whether the events of a class say themselves what they cost, or by whom they are counted."""
    return kind.has_own_costs() or kind.key is not Work.key


def own_bill(event: Work) -> tuple[str | None, Mapping[str, float] | None]:
    """The key and the costs of an event; None where it says nothing of its own.

    The usual costs look into the event's ``request``, which is code that belongs to its start:
    they are known here if they were asked for under limits before.

    Raises:
        ValidationError: names what makes no sense.
        BaseException: whatever its own code raises.
    """
    kind = type(event)
    key = None if kind.key is Work.key else event.key
    costs = event.costs if kind.has_own_costs() else event.__dict__.get("_told")
    check_bill(kind, {} if costs is None else costs, key)
    return key, costs


def bill_on_record(event: Work) -> tuple[str | None, dict[str, float]]:
    """The key and the costs of an event, as a record has them: its own, if they can be read."""
    try:
        key, costs = own_bill(event)
    except BaseException:  # its own code's: a listing is no place to fail
        return None, {}
    return key, dict(costs or {})


def check_bill(kind: type[Work], costs: object, key: object) -> None:
    """Look closely at what an event says of itself.

    Raises:
        ValidationError: names what makes no sense.
    """
    check_costs(f"{kind.__name__}.costs", costs)
    if key is not None and not isinstance(key, str):
        raise ValidationError(f"{kind.__name__}.key must be a text or None, not {key!r}")
    if key is not None and not key.isprintable():
        check_text(f"{kind.__name__}.key", key)
