"""Stores from the ``store`` argument of an executor: None, a URL, or a store."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from ..errors import ConfigurationError
from .contract import Store
from .memory import MemoryStore
from .url import redact, standard_url

__all__ = ("open_store",)

Options: TypeAlias = Mapping[str, tuple[Callable[[str], Any], str]]
"""Options by name: a function that parses each, and its accepted values."""

_POSTGRES: Final = ("postgresql:", "postgres:")
_OURS: Final = "lionpride_"
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
"""Options of a server's URL that name files."""


def open_store(store: Store | str | None, *, queue: str, name: str) -> Store:
    """Return the store to use; nothing is opened or created yet.

    Args:
        store: None or ``"memory://"`` for a new store in memory. ``"sqlite:///run.db"`` for a file
            (``"sqlite:////abs/run.db"`` for an absolute path), with options of ``SqliteStore``
            after a ``?``. ``"postgresql://user@host/database"``, with options of
            ``PostgresStore`` after a ``?``, with or without the prefix ``lionpride_``. A scheme may
            name a driver, as SQLAlchemy's ``postgresql+asyncpg://``; the library uses its own. A
            Store is used as it is.
        queue: Name of the queue of a new store.
        name: Name of its ``states``.

    Raises:
        ConfigurationError: for a URL of an unknown kind, or an invalid option.
    """
    if store is None:
        return MemoryStore(queue, name=name)
    if not isinstance(store, str):
        return _checked(store)
    url = standard_url(store)
    if url == "memory://":
        return MemoryStore(queue, name=name)
    if url.startswith("sqlite:"):
        return _sqlite(url, queue, name)
    if url.startswith(_POSTGRES):
        return _postgres(url, queue, name)
    raise ConfigurationError(
        f"store={redact(store)!r}: give 'sqlite:///run.db' for a file, "
        "'postgresql://user@host/database' for a database, leave `store` out for memory, or "
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

    if ":memory:" in url or "mode=memory" in url:
        raise ConfigurationError(
            f"store={url!r}: a database in memory would be lost with its connection: leave `store` "
            "out, or give 'memory://', for events in memory; or give 'sqlite:///run.db' for a file"
        )
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or not url.startswith("sqlite:///") or not path or parts.fragment:
        raise ConfigurationError(
            f"store={redact(url)!r}: write 'sqlite:///run.db' for a path from here, or "
            "'sqlite:////abs/run.db' for an absolute one"
        )
    return SqliteStore(path, queue, name=name, **_options(url, parts.query))


def _postgres(url: str, queue: str, name: str) -> Store:
    try:
        from .postgres import PostgresStore  # late: asyncpg is loaded by those who use it
    except ImportError as error:
        if error.name != "asyncpg":
            raise
        raise ConfigurationError(
            f"store={redact(url)!r} needs asyncpg: pip install 'lionpride-core[postgres]'",
            cause=error,
        ) from error

    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # it is read here
    except ValueError as error:  # the port, or the brackets of an IPv6 address
        raise ConfigurationError(
            f"store={redact(url)!r}: host and port cannot be read: write "
            "'postgresql://user@host:5432/database'; in a password write %2F for / and %40 for @"
        ) from error
    given = parse_qsl(parts.query, keep_blank_values=True)
    for option, path in given:
        if option in _FILES and not Path(path).is_file():
            raise ConfigurationError(f"store={redact(url)!r}: {option}={path!r}: no such file")
    ours, theirs = [], []
    for option, text in given:
        if option.startswith(_OURS) or option in _POSTGRES_OPTIONS:
            ours.append((option.removeprefix(_OURS), text))
        else:
            theirs.append((option, text))
    options = _read(url, ours, _POSTGRES_OPTIONS)
    return PostgresStore(
        urlunsplit(parts._replace(query=urlencode(theirs))), queue, name=name, **options
    )


def _options(url: str, query: str) -> Mapping[str, Any]:
    return _read(url, parse_qsl(query, keep_blank_values=True), _OPTIONS)


def _read(url: str, given: Iterable[tuple[str, str]], known: Options) -> Mapping[str, Any]:
    """The options behind the ``?`` of a URL.

    Raises:
        ConfigurationError: names the option, and those that there are or what it takes.
    """
    options: dict[str, Any] = {}
    shown = f"store={redact(url)!r}"
    for name, text in given:
        if name not in known:
            there = ", ".join(known)
            raise ConfigurationError(f"{shown}: {name!r} is no option; there are {there}")
        read, remedy = known[name]
        try:
            options[name] = read(text)
        except (ValueError, KeyError, OverflowError) as error:
            raise ConfigurationError(f"{shown}: {name}={text!r}: give {remedy}") from error
    return options


def _switch(text: str) -> bool:
    return {"on": True, "off": False}[text.lower()]


def _synchronous(text: str) -> str:
    if text.upper() not in ("FULL", "NORMAL"):
        raise ValueError(text)
    return text.upper()


def _mode(text: str) -> int:
    if re.fullmatch("0?[0-7]{3}", text) is None:
        raise ValueError(text)
    return int(text, 8)


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

_COMMON: Final[Options] = {
    "lease": (_lease, "a number of seconds above 0"),
    "patience": (_patience, "a number of seconds, 0 or more"),
    "retain": (
        _retain,
        "a number of finished events to keep, as 10000, or a time, as 7d, 12h or 30m",
    ),
}
"""The options of both, each with what it takes."""

_OPTIONS: Final[Options] = {
    "synchronous": (_synchronous, "FULL or NORMAL"),
    "mode": (_mode, "the permissions of a new file as chmod takes them, such as 0660"),
    **_COMMON,
}
"""The options of a URL that are those of ``SqliteStore``."""

_POSTGRES_OPTIONS: Final[Options] = {
    "schema": (str, "the name of a schema"),
    "prefix": (str, "a prefix of the tables' names"),
    **_COMMON,
    "connections": (int, "a whole number, 1 or more"),
    "listen": (_switch, "on or off"),
    "poll": (float, "a number of seconds above 0"),
    "pgbouncer": (_switch, "on or off"),
}
"""Those of ``PostgresStore``, there with ``lionpride_`` before each."""
