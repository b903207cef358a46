"""Standard output and standard error: closed, read no longer, or claimed for results alone."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from ...errors import LionprideError
from ..usage import UsageError

__all__ = ["claim_stdout", "prepare", "tell", "warn", "warn_by"]

_writers: list[Callable[[str], object]] = []
"""At most one function that takes the lines of ``warn``."""


def prepare() -> None:
    """See to it that the standard streams are there, and fit for any text.

    A closed one is opened on the null device, so that no file of ours is opened in its place;
    characters that one cannot say are said as question marks.
    """
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(free, True)
    os.close(free)
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(fd, "w", errors="replace", closefd=False))
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def tell(text: str = "") -> bool:
    """Write lines to standard output, and all that was printed there before.

    A reader that has closed the pipe has read as much as it wanted.

    Returns:
        False if the reader has closed the pipe.

    Raises:
        LionprideError: if it cannot be written for another reason.
    """
    try:
        print(text, end="\n" if text else "", flush=True)
    except (OSError, ValueError) as error:  # ValueError: it is closed
        _abandon(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            reason = getattr(error, "strerror", None) or error
            raise LionprideError(f"standard output cannot be written: {reason}") from error
        return False
    return True


def warn(text: str) -> None:
    """Write a line to standard error; if it cannot be written, the line is lost."""
    if _writers:
        _writers[-1](text)
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _abandon(sys.stderr)


def warn_by(write: Callable[[str], object]) -> None:
    """Have a function take the lines of ``warn`` from now on, such as that of a log."""
    _writers[:] = [write]


def _abandon(stream: TextIO) -> None:
    """Discard all further output of a stream, and its buffer."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


@contextmanager
def claim_stdout(option: str) -> Iterator[io.FileIO]:
    """Have standard output for what `option` names alone.

    Other output, also of programs that an event starts, goes to standard error during that time.

    Raises:
        UsageError: if standard output is closed.
    """
    if sys.__stdout__ is None:
        raise UsageError(f"{option} -: there is no standard output; name a file")
    tell()
    fd = sys.stdout.fileno()
    with io.FileIO(os.dup(fd), "w") as ours:
        os.dup2(sys.stderr.fileno(), fd)
        try:
            yield ours
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
            os.dup2(ours.fileno(), fd)
