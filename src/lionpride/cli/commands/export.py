"""``lionpride export``: the events and schedules of a store, a JSON object a line."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...drawing.text import one_line, plural
from ...errors import LionprideError
from ...view.redact import AnyRecord, hide_secrets
from ..batch.outputs import is_same_file
from ..grammar import option, store_command
from ..output.streams import tell, warn
from ..output.table import json_line
from ..store.event_ids import scan
from ..store.location import StoreLocation, locate_store
from ..store.queues import StoreQueues
from ..targets.target import load_targets, target_option
from ..transfer.records import exported, exported_schedule
from ..usage import UsageError

__all__ = ["export"]

AT_ONCE = 500  # lines written at a time

Write = Callable[[str], bool]


@store_command(
    "export",
    help=(
        "Write every event of a store as a line of JSON, queue by queue, in order of arrival, and "
        "then its schedules. `lionpride import` reads them, into any store."
    ),
)
@option(
    "-o",
    "--output",
    metavar="FILE",
    default="-",
    help="the output file; - is standard output",
)
@option("--reveal", is_flag=True, help="write secrets too; an import refuses hidden ones")
@target_option("imports the classes, so that fields with their default are written, too")
async def export(
    store: str, queue: str | None, output: str, reveal: bool, targets: tuple[str, ...]
) -> int:
    """Write them; a file is there when it is complete, and not before."""
    location = locate_store(store)
    for text in targets:
        load_targets(text)
    await location.check_made()
    writer = _Export(location, reveal=reveal)
    if output == "-":
        await writer.run(queue, tell)
        return 0
    path = Path(output)
    if location.path is not None and is_same_file(output, str(location.path)):
        raise UsageError(f"-o {path} is the store itself: name another file")
    with _replacing(path) as write:
        await writer.run(queue, write)
    warn(f"{_text_of(writer.written)} of {location.name} written to {path}")
    return 0


class _Export:
    """One export.

    Args:
        location: The store.
        reveal: True to write secrets.

    Attributes:
        written: The numbers of events and schedules that were written.
    """

    def __init__(self, location: StoreLocation, *, reveal: bool) -> None:
        self._location = location
        self._reveal = reveal
        self._hidden: Counter[str] = Counter()
        self.written: Counter[str] = Counter(event=0)

    async def run(self, queue: str | None, write: Write) -> None:
        """Write the lines of one queue, or of all, until the reader closes the pipe."""
        lines: list[str] = []
        async with StoreQueues(self._location, queue) as queues:
            async for data in self._objects(queues):
                lines.append(json_line(data))
                if len(lines) == AT_ONCE:
                    if not write("\n".join(lines)):
                        return
                    lines.clear()
        if lines:
            write("\n".join(lines))
        if self._hidden:
            have = "has" if self._hidden.total() == 1 else "have"
            warn(
                f"lionpride: {_text_of(self._hidden)} {have} secrets, which are hidden in the "
                "export; an import refuses such lines: --reveal writes the secrets"
            )

    async def _objects(self, queues: StoreQueues) -> AsyncIterator[dict[str, Any]]:
        """Yield the events, and then the schedules.

        Schedules are read first. So the copy of a schedule repeats an instant whose event is
        exported as well, and leaves it out by its id; it does not lose the instant.
        """
        schedules = {queue: await queues.of(queue).schedules() for queue in queues.names}
        for each in (record for records in schedules.values() for record in records):
            if each.unreadable is not None:
                raise UsageError(f"nothing was exported: {one_line(each.unreadable)}")
        for queue in queues.names:
            async for record in scan(queues, queue):
                yield exported(self._shown(record, "event"))
        for queue, records in schedules.items():
            for schedule in records:
                yield exported_schedule(queue, self._shown(schedule, "schedule"))

    def _shown(self, record: AnyRecord, noun: str) -> AnyRecord:
        """Count a record, and return it without secrets if they are not to be written."""
        self.written[noun] += 1
        shown = record if self._reveal else hide_secrets(record)
        if shown is not record:
            self._hidden[noun] += 1
        return shown


def _text_of(numbers: Counter[str]) -> str:
    return " and ".join(plural(number, noun) for noun, number in numbers.items())


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
