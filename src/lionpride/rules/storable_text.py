"""Texts that every store can keep and find in a column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..errors import ValidationError

__all__ = ("any_case", "check_text", "findable")

_MORE: Final = {"σ": "ς", "ß": "ẞ"}
"""Forms of a letter that neither ``lower`` nor ``upper`` returns."""


def check_text(what: str, text: str) -> None:
    """Check that every database can keep a text.

    PostgreSQL refuses NUL characters. No database keeps a lone surrogate, which cannot be encoded.

    Raises:
        ValidationError: if not; the message names the field, its value, and what to do.
    """
    if text.isprintable():  # a quick test that nearly all texts pass
        return
    if "\0" in text:
        raise ValidationError(
            f"{what} must have no NUL character, which PostgreSQL cannot keep, not {text!r}: "
            "leave it out, or put another separator there"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError(
            f"{what} must be text that can be encoded, not {text!r}: decode bytes with "
            "errors='replace' in place of 'surrogateescape'"
        ) from None


def findable(text: str) -> str:
    """Return a text to search for, without characters that no database keeps."""
    if text.isprintable():
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def any_case(text: str) -> Iterator[str]:
    """For each character of a text, yield its upper and lower cases in one string.

    A search for these is the same in every store. ``lower()`` of a database is not: SQLite knows
    ASCII letters alone, and PostgreSQL what the locale of the database says.

    >>> list(any_case("Ä1"))
    ['Ää', '1']
    """
    for letter in text:
        lower, upper = letter.lower(), letter.upper()
        cases = {letter, lower, upper, lower.upper(), upper.lower()}
        cases.update(_MORE[each] for each in cases & _MORE.keys())
        yield "".join(sorted(each for each in cases if len(each) == 1))
