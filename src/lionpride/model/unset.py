"""``Unset``: the absence of a value, where None is a value."""

from __future__ import annotations

from typing import Final, TypeAlias, TypeVar, final

__all__ = ("MaybeUnset", "Unset", "UnsetType")


@final
class UnsetType:
    """The type of the single value ``Unset``.

    ``Unset`` is false, and stays the same object when it is copied or pickled.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Unset"

    def __bool__(self) -> bool:
        return False

    def __copy__(self) -> UnsetType:
        return self

    def __deepcopy__(self, memo: object) -> UnsetType:
        return self

    def __reduce__(self) -> str:
        return "Unset"


Unset: Final = UnsetType()

T = TypeVar("T")
MaybeUnset: TypeAlias = T | UnsetType
