"""Messages of a run during and after it, for an output that is not a terminal."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Protocol, Self

from .streams import tell, warn
from .summary import Summary

__all__ = ["LogScreen", "PlainScreen", "Screen"]

logger = logging.getLogger("lionpride.worker")


class Screen(Protocol):
    """Says things about a run; entered while it goes on."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def show(self) -> None:
        """Show the progress until cancelled."""

    def note(self, text: str) -> None:
        """Say one thing now."""

    def finish(self, summary: Summary) -> None:
        """Say how it ended."""


class PlainScreen:
    """Lines of plain text: what needs attention on standard error, the end on standard output.

    Args:
        quiet: True to report only errors at the end.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing was drawn, so there is nothing to take down."""

    async def show(self) -> None:
        """Draw nothing: what is not a terminal gets no progress."""

    def note(self, text: str) -> None:
        """Say one thing on standard error."""
        warn(text)

    def finish(self, summary: Summary) -> None:
        """Write the summary as text; of a quiet run, what went wrong."""
        if not self._quiet:
            tell(summary.plain())
        elif summary.wrong:
            warn("\n".join(summary.wrong))


class LogScreen(PlainScreen):
    """Records of the log in place of lines: problems as warnings, and the rest as information."""

    def note(self, text: str) -> None:
        """Log one thing. The text of a problem begins with the name of the program."""
        problem = text.removeprefix("lionpride: ")
        logger.log(logging.INFO if problem == text else logging.WARNING, "%s", problem)

    def finish(self, summary: Summary) -> None:
        """Log the headline."""
        logger.info("%s", summary.headline)
