"""The fields of an Execution: each an entry of the dict below it, or a default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, overload

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ("AfterSuccess", "Kept", "UntilEnded")

V = TypeVar("V")


class Kept(Generic[V]):
    """A field of ``Execution``: an entry of the dict below it, or its default.

    Args:
        default: The value without an entry.
        key: The key of the entry; by default the name of the field after an underscore.
    """

    __slots__ = ("default", "key")

    def __init__(self, default: V, key: str = "") -> None:
        self.default = default
        self.key = key

    def __set_name__(self, owner: type, name: str) -> None:
        self.key = self.key or f"_{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Execution, owner: type) -> V: ...
    def __get__(self, instance: Execution | None, owner: type) -> Self | V:
        if instance is None:
            return self
        value: V = instance.own.get(self.key, self.default)
        return value

    def __set__(self, instance: Execution, value: V) -> None:
        if value is self.default:
            instance.own.pop(self.key, None)
        else:
            instance.own[self.key] = value
            instance.own.setdefault("_status", "pending")  # so nobody takes it for a blank one


class AfterSuccess(Kept[V]):
    """One that every completed event has alike, so that it needs no entry there."""

    __slots__ = ("success",)

    def __init__(self, default: V, success: V) -> None:
        super().__init__(default)
        self.success = success

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None and instance.own.get("_status") == "completed":
            return self.success
        return super().__get__(instance, owner)


class UntilEnded(Kept[V]):
    """One that means nothing any more once the event has ended: it may be left there."""

    __slots__ = ()

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None and instance.own.get("_status", "pending") not in _UNENDED:
            return self.default
        return super().__get__(instance, owner)


_UNENDED: Final = ("pending", "processing")
