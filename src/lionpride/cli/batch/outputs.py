"""The files that a run writes: opened beforehand, emptied late, written whole."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ..usage import UsageError

try:
    import fcntl
except ImportError:  # there is none on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Output", "check_other_file", "is_same_file", "open_output"]


class Output:
    """An open file to write, or a pipe or device.

    Attributes:
        option: The option of the command line that named it.
        path: Its path; `-` is standard output.
    """

    def __init__(self, raw: io.FileIO, option: str, path: str) -> None:
        self.option = option
        self.path = path
        self._raw = raw

    @property
    def name(self) -> str:
        """Its name in messages."""
        return "standard output" if self.path == "-" else self.path

    def start_over(self) -> bool:
        """Empty a file; what a shell has opened, a device and a pipe are left as they are.

        Returns:
            True if it is empty now.
        """
        if self.path == "-" or not stat.S_ISREG(os.fstat(self._raw.fileno()).st_mode):
            return False
        self._raw.truncate(0)
        return True

    def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            OSError: if that cannot be done.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[self._raw.write(rest) or 0 :]

    def close(self) -> None:
        """Let the descriptor go."""
        self._raw.close()


def open_output(option: str, path: str, taken: Iterable[tuple[str, str]] = ()) -> Output:
    """Open a file to write; what it holds is kept until `start_over`.

    Args:
        option: The option that named it.
        path: Its name.
        taken: The option and the name of the other files; none of them may be the same file.

    Raises:
        UsageError: if it cannot be written, is one of the others, or another run writes it.
    """
    check_other_file(option, path, taken)
    parent = Path(path).parent
    if not parent.is_dir():
        raise UsageError(f"{option} {path}: no directory {parent}; make it with: mkdir -p {parent}")
    try:
        raw = io.FileIO(path, "a")
    except IsADirectoryError as error:
        raise UsageError(f"{option} {path} is a directory: name a file in it") from error
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be written: {error.strerror or error}") from error
    if _is_locked(raw):
        raw.close()
        raise UsageError(
            f"{option} {path} is being written by another run: give each a file of its own"
        )
    return Output(raw, option, path)


def check_other_file(option: str, path: str, taken: Iterable[tuple[str, str]]) -> None:
    """Refuse a file that another option has named.

    Raises:
        UsageError: names that option.
    """
    for other, name in taken:
        if is_same_file(path, name):
            raise UsageError(f"{option} {path} is also the file of {other}: name another file")


def _is_locked(raw: io.FileIO) -> bool:
    """Return True if another process has locked a file; otherwise lock it until it is closed.

    The lock is of a kind that a forked child does not have, so that none can outlive the run.
    """
    if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        return False
    if fcntl is not None:
        try:
            fcntl.lockf(raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return True
        except OSError:  # it is of a file system that knows no locks
            return False
    return False


def is_same_file(path: str, other: str) -> bool:
    """Return True if two names are one file, also by links; a device may be shared."""
    try:
        if not Path(path).exists():  # they may be about to become one
            return Path(path).resolve() == Path(other).resolve()
        return Path(path).is_file() and Path(path).samefile(other)
    except OSError:
        return False
