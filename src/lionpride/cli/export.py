"""``lionpride export``: every event of a store, a JSON object a line."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..drawing.text import plural
from ..errors import LionprideError
from ..view.redact import hide_secrets
from .durable import Commands, Shelf, add_command
from .find import scan
from .outputs import is_same_file
from .place import Place, place_of
from .records import exported
from .streams import tell, warn
from .table import json_line
from .target import add_targets, load_targets
from .usage import UsageError

__all__ = ["add"]

AT_ONCE = 500  # lines written at a time

Write = Callable[[str], bool]


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "export",
        export,
        summary="write the events of a store as JSON lines",
        description="Write every event of a store as a line of JSON, queue by queue, in order of "
        "arrival. `lionpride import` reads them, into any store.",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="the output file; - is standard output"
    )
    parser.add_argument(
        "--reveal", action="store_true", help="write secrets too; an import refuses hidden ones"
    )
    add_targets(parser, "imports the classes, so that fields with their default are written, too")


async def export(options: argparse.Namespace) -> int:
    """Write them; a file is there when it is complete, and not before."""
    place = place_of(options.store)
    for text in options.targets:
        load_targets(text)
    await place.check_made()
    if options.output == "-":
        await _export(place, options, tell)
        return 0
    path = Path(options.output)
    if place.path is not None and is_same_file(options.output, str(place.path)):
        raise UsageError(f"-o {path} is the store itself: name another file")
    with _replacing(path) as write:
        count = await _export(place, options, write)
    warn(f"{plural(count, 'event')} of {place.name} written to {path}")
    return 0


async def _export(place: Place, options: argparse.Namespace, write: Write) -> int:
    """Write the lines until the reader closes the pipe; return their number."""
    count, hidden, lines = 0, 0, list[str]()
    async with Shelf(place, options.queue) as shelf:
        for each in shelf.queues:
            async for record in scan(shelf, each):
                shown = record if options.reveal else hide_secrets(record)
                hidden += shown is not record
                lines.append(json_line(exported(shown)))
                count += 1
                if len(lines) == AT_ONCE:
                    if not write("\n".join(lines)):
                        return count
                    lines.clear()
    if lines:
        write("\n".join(lines))
    if hidden:
        have = "has" if hidden == 1 else "have"
        warn(
            f"lionpride: {plural(hidden, 'event')} {have} secrets, which are hidden in the export; "
            "an import refuses such lines: --reveal writes the secrets"
        )
    return count


@contextmanager
def _replacing(path: Path) -> Iterator[Write]:
    """Give what writes lines to a file that takes the place of `path` at the end of the block.

    Raises:
        UsageError: if there can be no such file.
        LionprideError: if it cannot be written.
    """
    if path.is_dir():
        raise UsageError(f"-o {path} is a directory: name a file in it")
    if path.exists() and not path.is_file():
        raise UsageError(f"-o {path} is no file: leave -o out, and write > {path}")
    try:
        fd, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise UsageError(f"-o {path} cannot be written: {error.strerror or error}") from error
    try:
        try:
            with open(fd, "w", encoding="ascii", newline="\n") as file:  # noqa: PTH123  a descriptor

                def write(text: str) -> bool:
                    file.write(f"{text}\n")
                    return True

                yield write
                file.flush()
                os.fsync(fd)
            _take_mode(Path(name), path)
            Path(name).replace(path)
        except OSError as error:
            if isinstance(error, LionprideError):
                raise
            raise LionprideError(
                f"-o {path} cannot be written: {error.strerror or error}"
            ) from error
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def _take_mode(new: Path, old: Path) -> None:
    """Give a new file the mode of the file that it replaces; without one it keeps 0600."""
    if old.exists():
        new.chmod(old.stat().st_mode & 0o777)
