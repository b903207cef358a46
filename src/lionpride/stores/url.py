"""The URL of a store: other spellings of it, and how it is shown."""

from __future__ import annotations

import re
from typing import Final

__all__ = ("redact", "standard_url")

_SCHEME: Final = re.compile(r"(postgres(?:ql)?|sqlite|memory)(?:\+\w+)?:", re.IGNORECASE)
_USER: Final = r"((?://|\bpostgres[\w+]*:)[^\s/@:]*):"
_PASSWORD: Final = re.compile(rf"{_USER}\S*@", re.IGNORECASE)
_PASSWORD_WITH_SPACE: Final = re.compile(rf"{_USER}.*@", re.IGNORECASE | re.DOTALL)
_OPTION: Final = re.compile(r"\b((?:ssl)?password\s*=\s*)('[^']*'|[^\s&']*)", re.IGNORECASE)


def standard_url(text: str) -> str:
    """Return a URL with the scheme that this library uses.

    Space around the URL is left out. A scheme may be in upper case and may name a driver, as
    SQLAlchemy's do.

    >>> standard_url("postgresql+asyncpg://me@host/name")
    'postgresql://me@host/name'
    """
    text = text.strip()
    found = _SCHEME.match(text)
    if found is None:
        return text
    return f"{found[1].lower()}:{text[found.end() :]}"


def redact(text: str) -> str:
    """Return a URL, or a message with URLs, without passwords.

    If a text can be read in two ways, more is left out. A text that begins with the scheme of a
    store is taken for a URL, whose password may have spaces.

    >>> redact("postgresql://me:secret@host/name")
    'postgresql://me@host/name'
    >>> redact("postgresql://host/name?user=me&password=secret")
    'postgresql://host/name?user=me&password=…'
    """
    password = _PASSWORD_WITH_SPACE if _SCHEME.match(text.strip()) else _PASSWORD
    return password.sub(r"\1@", _OPTION.sub(r"\1…", text))
