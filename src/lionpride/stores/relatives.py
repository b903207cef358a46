"""All parents or children of an event, read in pages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from typing import Final, Protocol
from uuid import UUID

from .contract import Named, Relative

__all__ = ("PAGE", "ReadPage", "relative_pages")

PAGE: Final = 500
"""Number of parents or children that are read at once."""


class ReadPage(Protocol):
    """``Store.parents`` or ``Store.children``."""

    def __call__(self, event: Named, *, first: int, limit: int) -> Awaitable[list[Relative]]: ...


async def relative_pages(read: ReadPage, uid: UUID) -> AsyncGenerator[list[Relative], None]:
    """Yield the parents or the children of an event in pages.

    Args:
        read: ``parents`` or ``children`` of the store.
        uid: The id of the event.

    Raises:
        NotFoundError: if the event is unknown.
    """
    first = 0
    while page := await read(uid, first=first, limit=PAGE):
        yield page
        if len(page) < PAGE:
            return
        first = page[-1].place + 1
