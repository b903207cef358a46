"""Texts that any store can keep: what stands in a column of its own, and is looked for there."""

from __future__ import annotations

from ..errors import ValidationError

__all__ = ("check_text", "findable")


def check_text(what: str, text: str) -> None:
    """Refuse a text that a database cannot keep.

    PostgreSQL keeps no NUL character, and no database a lone surrogate, which is no character.

    Raises:
        ValidationError: names it, its value, and what to do.
    """
    if text.isprintable():  # nearly all are, and that is quickly told
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
    """The same text, where it is only looked for: what no database keeps is replaced."""
    if text.isprintable():
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
