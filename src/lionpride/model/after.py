"""Dependencies of an event: the parents that have to finish before it may start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args
from uuid import UUID

from ..errors import ValidationError
from .finite import is_finite

__all__ = ("CONDITIONS", "After", "When")

When: TypeAlias = Literal["completed", "failed", "finished"]
"""How a parent has to finish; see ``rules.dependencies.is_met``."""

CONDITIONS: Final[tuple[str, ...]] = get_args(When)


class After(NamedTuple):
    """The parents of an event, given at its append.

    Attributes:
        parents: Their ids in the given order, each once.
        when: How each of them has to finish.
        due: The earliest start of the event once its parents have finished, a Unix timestamp in
            seconds; None: at once. A store sets it from the terms of the append.
    """

    parents: tuple[UUID, ...]
    when: When = "completed"
    due: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the dependencies as plain data."""
        data: dict[str, Any] = {"parents": [str(uid) for uid in self.parents], "when": self.when}
        return data if self.due is None else data | {"due": self.due}

    @classmethod
    def from_dict(cls, data: object) -> After:
        """Return the dependencies from the result of ``to_dict``.

        Raises:
            ValidationError: if they cannot be read.
        """
        try:
            if not isinstance(data, Mapping) or data["when"] not in CONDITIONS:
                raise ValueError("no mapping, or another condition")
            parents = tuple(dict.fromkeys(UUID(str(uid)) for uid in data["parents"]))
            due = data.get("due")
            if due is not None and not is_finite(due):
                raise ValueError("due is not a finite number")
        except (KeyError, TypeError, ValueError) as error:
            raise ValidationError(
                "execution.after must be a mapping with `parents`, a list of ids, and `when`, one "
                f"of {', '.join(CONDITIONS)}, and perhaps `due`, a number, not {data!r}",
                cause=error,
            ) from error
        return cls(parents, data["when"], due)
