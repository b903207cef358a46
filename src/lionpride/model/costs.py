"""What an event may say that it costs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from ..errors import ValidationError
from .finite import LARGEST, is_finite
from .serialization.codec import safe_repr

__all__ = ("REQUEST", "check_costs")

REQUEST: Final[Mapping[str, float]] = MappingProxyType({"requests": 1})
"""What an event costs that says nothing else."""


def check_costs(what: str, costs: Any) -> None:
    """Refuse what is no mapping of names to amounts from 0 up.

    Raises:
        ValidationError: names the part that is not.
    """
    if type(costs) is not dict and not isinstance(costs, Mapping):
        raise ValidationError(f'{what} must be a mapping such as {{"requests": 1}}, not {costs!r}')
    for name, amount in costs.items():
        if type(amount) is int and 0 <= amount <= LARGEST and type(name) is str:
            continue
        if not isinstance(name, str):
            raise ValidationError(f"{what}: the name of a limit is a text, not {name!r}")
        if not is_finite(amount) or amount < 0:
            raise ValidationError(
                f"{what}[{name!r}] must be a finite number >= 0, not {safe_repr(amount)}: it has "
                "to fit into a float"
            )
