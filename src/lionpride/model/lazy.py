"""Attributes that are made when they are first read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

__all__ = ("ARRIVING", "made_on_first_use")

V = TypeVar("V")

ARRIVING: dict[int, dict[str, Any]] = {}
"""What was given to instances that are being validated, by ``id()``: for code that runs then."""


class made_on_first_use(Generic[V]):  # noqa: N801  (reads as the decorator that it is)
    """A read-only attribute that is made when it is first read, then kept.

    It is a plain entry of the instance's ``__dict__`` from then on, so that it costs nothing
    more to read, and is copied and pickled with the rest.
    """

    def __init__(self, make: Callable[[Any], V]) -> None:
        self.make = make
        self.name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> V: ...
    def __get__(self, instance: object | None, owner: type) -> Self | V:
        if instance is None:
            return self
        if ARRIVING and self.name in (given := ARRIVING.get(id(instance), {})):
            value: V = given[self.name]
        else:
            value = self.make(instance)
        instance.__dict__[self.name] = value
        return value
