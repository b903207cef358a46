"""Numbers that are finite as a float: what an amount or a time may be."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

__all__ = ("LARGEST", "is_finite")

LARGEST: Final = 2**1023
"""Integers up to this, a power of two, certainly fit into a float."""


def is_finite(value: Any) -> bool:
    """Return True for an int or float, but no bool, that is finite as a float.

    An int may be too large for a float.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:
        return False
