"""Where the lines come from: a file, read to its end at once, or a pipe, taken as it comes."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

from ..usage import UsageError

__all__ = ["NumberedLine", "Source", "batches", "open_source"]

CHUNK = 1 << 17  # bytes asked for at a time
BATCH = 1000  # lines handed on at a time, at most
AHEAD = 2  # batches read before they are asked for, at most

NumberedLine = tuple[int, bytes]


class Source:
    """Numbered lines out of an open file descriptor.

    ``whole`` is True for a regular file. It is read to its end before anything runs, so that
    priorities order all of it. Any other input may never end, and is read in a thread.
    """

    def __init__(self, raw: io.FileIO, name: str) -> None:
        self.name = name
        self.whole = stat.S_ISREG(os.fstat(raw.fileno()).st_mode)
        self._raw = raw

    async def lines(self) -> AsyncIterator[list[NumberedLine]]:
        """The lines that are not blank, in batches as they become available."""
        if not self.whole:
            async for batch in self._from_thread():
                yield batch
            return
        for batch in batches(self._read):
            yield batch
            await asyncio.sleep(0)

    def close(self) -> None:
        """Let the descriptor go; a thread that reads from it does so itself at the end."""
        if self.whole:
            self._raw.close()

    def _read(self) -> bytes:
        return self._raw.read(CHUNK) or b""

    async def _from_thread(self) -> AsyncIterator[list[NumberedLine]]:
        """Read in a daemon thread: nothing can interrupt a read, and the exit must not wait."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[list[NumberedLine] | OSError | None] = asyncio.Queue()
        room = threading.Semaphore(AHEAD)

        def hand_over(item: list[NumberedLine] | OSError | None) -> None:
            with suppress(RuntimeError):  # the loop is closed, and nothing waits any more
                loop.call_soon_threadsafe(queue.put_nowait, item)

        def pump() -> None:
            end: OSError | None = None
            try:
                for batch in batches(self._read):
                    room.acquire()
                    hand_over(batch)
            except OSError as error:
                end = error
            finally:
                self._raw.close()
            hand_over(end)

        threading.Thread(target=pump, name="lionpride-input", daemon=True).start()
        while (got := await queue.get()) is not None:
            room.release()
            if isinstance(got, OSError):
                raise got
            yield got


def batches(read: Callable[[], bytes], size: int = BATCH) -> Iterator[list[NumberedLine]]:
    """Cut what `read` gives into numbered lines, skipping blank ones, `size` at a time.

    Whole lines are handed on after each read, so a slow pipe holds back none of them.
    """
    number = 0
    begun: list[bytes] = []  # of a line whose end has not been read yet
    while chunk := read():
        first, *others = chunk.split(b"\n")
        begun.append(first)
        if not others:
            continue
        *whole, rest = b"".join(begun), *others
        begun = [rest]
        for at in range(0, len(whole), size):
            part = whole[at : at + size]
            lines = [(n, line) for n, line in enumerate(part, number + 1) if not _blank(line)]
            number += len(part)
            if lines:
                yield lines
    if not _blank(last := b"".join(begun)):
        yield [(number + 1, last)]


def _blank(line: bytes) -> bool:
    return not line or line.isspace()


def open_source(path: str) -> Source:
    """Open the input, `-` for standard input.

    Raises:
        UsageError: if there is no such file, it cannot be read, or it is empty.
    """
    if path == "-":
        try:
            fd = sys.stdin.fileno()
        except (AttributeError, OSError, ValueError) as error:
            raise UsageError("--input -: there is no standard input; name a file") from error
        return Source(io.FileIO(fd, closefd=False), "standard input")
    if Path(path).is_dir():
        raise UsageError(f"--input {path} is a directory: name a file with a JSON object a line")
    try:
        raw = io.FileIO(path)
    except FileNotFoundError as error:
        raise UsageError(
            f"--input {path}: no such file in {Path.cwd()}; check the path, or use - for a pipe"
        ) from error
    except OSError as error:
        raise UsageError(f"--input {path} cannot be read: {error.strerror or error}") from error
    source = Source(raw, path)
    if source.whole and os.fstat(raw.fileno()).st_size == 0:
        source.close()
        raise UsageError(empty(path))
    return source


def empty(name: str) -> str:
    """Return the message about an input without a line."""
    return f"{name} is empty: write a JSON object with the fields of one event on each line"
