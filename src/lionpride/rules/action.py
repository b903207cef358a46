"""Who asked for a change of an event or of a queue, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from ..errors import ValidationError
from ..model.finite import is_finite
from ..model.serialization.codec import safe_repr
from .storable_text import check_text

__all__ = ("KEPT", "LONGEST", "Action", "PauseRecord", "What", "and_action", "check_by")

What: TypeAlias = Literal["cancel", "retry"]
"""A change of an event that a caller asks for."""

KEPT: Final = 10
"""Number of actions that a store keeps of an event, the newest ones."""

LONGEST: Final = 200
"""Maximum length of a name in characters."""

_WHAT: Final = ("cancel", "retry")


class Action(NamedTuple):
    """A cancel or a retry of an event, by a caller that has given a name.

    Attributes:
        what: "cancel" or "retry". A cancel of a running event is a request to its worker.
        by: The name that the caller has given.
        at: The time of the store, a Unix timestamp in seconds.
    """

    what: What
    by: str
    at: float

    def __str__(self) -> str:
        """Return what, by whom and when, such as "cancel by alice, 2026-01-31 12:00:00 UTC"."""
        return f"{self.what} by {self.by}, {_at(self.at)}"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Action:
        """Return the action from its fields.

        Raises:
            ValidationError: if a field is missing, unknown or wrong.
        """
        if data.keys() != set(cls._fields):
            raise ValidationError(
                f"an action has the fields {', '.join(cls._fields)}, not {safe_repr(sorted(data))}"
            )
        if data["what"] not in _WHAT:
            raise ValidationError(
                f"what must be one of {', '.join(_WHAT)}, not {safe_repr(data['what'])}"
            )
        if not is_finite(data["at"]):
            raise ValidationError(f"at must be a Unix timestamp, not {safe_repr(data['at'])}")
        if data["by"] is None:
            raise ValidationError("by must be a name, not None")
        check_by(data["by"])
        return cls(data["what"], data["by"], float(data["at"]))


class PauseRecord(NamedTuple):
    """A pause of a queue by hand.

    Attributes:
        by: The name that the caller has given; None if it has given none.
        at: The time of the store at the pause, a Unix timestamp in seconds.
    """

    by: str | None
    at: float

    def __str__(self) -> str:
        """Return by whom and when, such as "by alice, 2026-01-31 12:00:00 UTC"."""
        return f"by {self.by}, {_at(self.at)}" if self.by is not None else _at(self.at)


def _at(seconds: float) -> str:
    """Return a time as text; a virtual clock may be beyond what a date can show."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return f"{seconds:.0f}"


def and_action(actions: tuple[Action, ...], action: Action) -> tuple[Action, ...]:
    """Return the actions of an event after another one."""
    return (*actions, action)[-KEPT:]


def check_by(by: object) -> None:
    """Check the name of a caller; None is allowed.

    Raises:
        ValidationError: if it is no text, empty, too long, or no database can keep it.
    """
    if by is None:
        return
    if not isinstance(by, str) or not by.strip() or len(by) > LONGEST:
        raise ValidationError(
            f"by must be a name of 1 to {LONGEST} characters, or None, not {safe_repr(by)}"
        )
    check_text("by", by)
