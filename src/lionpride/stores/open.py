"""A store from what a user gives: nothing, a URL, or a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ..errors import ConfigurationError
from .contract import Store
from .memory import MemoryStore

__all__ = ("open_store",)


def open_store(store: Store | str | None, *, queue: str, name: str) -> Store:
    """The store to use; nothing is opened or made yet.

    Args:
        store: None or ``"memory://"`` for a new one in memory; ``"sqlite:///run.db"`` for a
            file (``"sqlite:////abs/run.db"`` for an absolute path), with options of
            ``SqliteStore`` behind a ``?``; or a Store, taken as it is.
        queue: The queue of a new store.
        name: The name of its States.

    Raises:
        ConfigurationError: for a URL of a kind that this version has no store for, or an option
            that makes no sense.
    """
    if store is None or store == "memory://":
        return MemoryStore(queue, name=name)
    if not isinstance(store, str):
        return _checked(store)
    if store.startswith("sqlite:"):
        return _sqlite(store, queue, name)
    raise ConfigurationError(
        f"store={store!r}: give 'sqlite:///run.db' for a file, leave `store` out for memory, or "
        "give a Store of your own"
    )


def _checked(store: Store) -> Store:
    if not hasattr(store, "states"):
        raise ConfigurationError(
            f"store={store!r} is no Store: give a URL such as 'sqlite:///run.db', or a Store"
        )
    return store


def _sqlite(url: str, queue: str, name: str) -> Store:
    from .sqlite import SqliteStore  # late: apsw is loaded by those who use it

    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or not url.startswith("sqlite:///") or not path or parts.fragment:
        raise ConfigurationError(
            f"store={url!r}: write 'sqlite:///run.db' for a path from here, or "
            "'sqlite:////abs/run.db' for an absolute one"
        )
    return SqliteStore(path, queue, name=name, **_options(url, parts.query))


def _options(url: str, query: str) -> Mapping[str, Any]:
    """The options behind the ``?`` of a URL.

    Raises:
        ConfigurationError: names the option, and those that there are.
    """
    readers: dict[str, Any] = {"synchronous": str.upper, "lease": float, "patience": float}
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in readers:
            known = ", ".join(readers)
            raise ConfigurationError(f"store={url!r}: {name!r} is no option; there are {known}")
        try:
            options[name] = readers[name](text)
        except ValueError as error:
            raise ConfigurationError(f"store={url!r}: {name}={text!r}: {error}") from error
    return options
