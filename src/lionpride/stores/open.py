"""A store from what a user gives: nothing, a URL, or a store."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final
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
        ConfigurationError: names the option, and those that there are or what it takes.
    """
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            raise ConfigurationError(f"store={url!r}: {name!r} is no option; there are {known}")
        read, remedy = _OPTIONS[name]
        try:
            options[name] = read(text)
        except (ValueError, OverflowError) as error:
            raise ConfigurationError(f"store={url!r}: {name}={text!r}: give {remedy}") from error
    return options


def _synchronous(text: str) -> str:
    if text.upper() not in ("FULL", "NORMAL"):
        raise ValueError(text)
    return text.upper()


def _lease(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(text)
    return number


def _patience(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(text)
    return number


def _retain(text: str) -> int | timedelta:
    found = re.fullmatch(r"([0-9]+)([dhm]?)", text)
    if found is None:
        raise ValueError(text)
    number, unit = int(found[1]), found[2]
    return timedelta(**{_UNITS[unit]: number}) if unit else number


_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes"}

_OPTIONS: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "synchronous": (_synchronous, "FULL or NORMAL"),
    "lease": (_lease, "a number of seconds above 0"),
    "patience": (_patience, "a number of seconds, 0 or more"),
    "retain": (
        _retain,
        "how many ended events stay, as 10000, or for how long, as 7d, 12h or 30m",
    ),
}
"""The options of a URL, which are those of ``SqliteStore``: each with what it takes."""
