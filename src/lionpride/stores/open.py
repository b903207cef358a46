"""A store from what a user gives: nothing, a URL, or a store."""

from __future__ import annotations

from ..errors import ConfigurationError
from .contract import Store
from .memory import MemoryStore

__all__ = ("open_store",)


def open_store(store: Store | str | None, *, queue: str, name: str) -> Store:
    """The store to use.

    Args:
        store: None or ``"memory://"`` for a new one in memory; or a Store, taken as it is.
        queue: The queue of a new store.
        name: The name of its States.

    Raises:
        ConfigurationError: for a URL of a kind that this version has no store for.
    """
    if store is None or store == "memory://":
        return MemoryStore(queue, name=name)
    if isinstance(store, str):
        raise ConfigurationError(
            f"store={store!r}: this version keeps events in memory only; leave `store` out, or "
            "give a Store of your own"
        )
    return store
