"""A file that is removed, renamed, replaced or cut under its workers.

Two workers share a file: one appends event after event, the other only works. Then the file is
changed as a user may do it by mistake. Both workers have to end with one error that names the
file. What an append acknowledged from ``GRACE`` seconds after the change on has to be in the file
that a later process opens under that name. What was acknowledged before it has to be in the file
that was renamed, because nothing of it was destroyed. A file that was put in its place stays sound.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import apsw
from crash.audit import Findings
from crash.deeds import QUEUE, Doer
from crash.journal import Journal, Line, read
from crash.on_sqlite import OnSqlite
from crash.workers import Nursery

GRACE = 1.5
"""Seconds: the workers look at their file once a second at most, and a commit takes its time."""

LEASE = 3.0
"""Seconds: an idle worker notices with its next sign of life."""

LIMIT = 15.0
"""Seconds until both workers have to have ended."""

TAILS = ("", "-wal", "-shm", "-turn")


def _all(path: Path) -> list[Path]:
    return [each for tail in TAILS if (each := Path(f"{path}{tail}")).exists()]


def remove(path: Path) -> None:
    """Remove the database with all that is beside it."""
    for each in _all(path):
        each.unlink()


def rename(path: Path) -> None:
    """Rename the database with all that is beside it."""
    for each in _all(path):
        each.rename(f"{path.parent / kept(path).name}{each.name.removeprefix(path.name)}")


def replace(path: Path) -> None:
    """Put another database in its place, as a restored backup is."""
    for each in _all(path)[1:]:
        each.unlink()
    Path(f"{path}.other").replace(path)


def remove_log(path: Path) -> None:
    """Remove the log alone."""
    Path(f"{path}-wal").unlink()


def cut_log(path: Path) -> None:
    """Cut the log to nothing."""
    os.truncate(f"{path}-wal", 0)


WAYS: dict[str, Callable[[Path], None]] = {
    each.__name__: each for each in (remove, rename, replace, remove_log, cut_log)
}
"""By name."""


def kept(path: Path) -> Path:
    """The name under which a renamed file is found."""
    return path.with_suffix(".kept")


async def lose_file(nursery: Nursery, folder: Path, name: str, way: str) -> Findings:
    """Change a file under two workers; return what went wrong.

    Args:
        nursery: Where the workers come from.
        folder, name: Where the file and its journal are made.
        way: A name of ``WAYS``.
    """
    base, journal = OnSqlite(folder, name), folder / f"{name}.journal"
    await _make(base)
    if way == "replace":
        other = OnSqlite(folder, f"{name}-other")
        await _make(other)
        shutil.copyfile(other.path, f"{base.path}.other")
    orders = {"url": base.url(LEASE), "lease": LEASE, "journal": str(journal), "concurrency": 4}
    orders["loses_file"] = True
    workers = [await nursery.start(**orders), await nursery.start(stream=True, **orders)]
    written = Journal(journal)
    try:
        await _until(lambda: len(_lines(journal, "appended")) >= 20)
        written.write("gone", extra=way)
        WAYS[way](base.path)
        changed = time.monotonic()
        waiting = [asyncio.shield(worker.ended) for worker in workers]
        _, late = await asyncio.wait(waiting, timeout=LIMIT)
    finally:
        written.close()
        codes = [await worker.end(9) for worker in workers]
    found = _audit(base.path, journal, way, changed)
    if late:
        found.wrong.append(f"{way}: {len(late)} workers had not ended {LIMIT:g} s later")
    ends = [code for code in codes if code != 1]
    found.wrong += [f"{way}: a worker ended with {code}, not with its error" for code in ends]
    return found


async def _make(base: OnSqlite) -> None:
    """Make a file with its schema, and close it."""
    executor = Doer(store=base.url(), queue=QUEUE)
    await executor.store.counts()
    await executor.store.close()


def _audit(path: Path, journal: Path, way: str, changed: float) -> Findings:
    """Hold the journal against the files that are found."""
    found = Findings()
    for one in _lines(journal, "error"):
        if path.name not in one.extra:
            found.wrong.append(f"{way}: an error does not name the file: {one.extra}")
    appended, there = _lines(journal, "appended"), _ids(path)
    found.lost += [
        f"{way}: event {one.event}, acknowledged {one.at - changed:.3f} s later, is not there"
        for one in appended
        if one.at > changed + GRACE and UUID(one.event) not in there
    ]
    if way == "rename":
        there = _ids(kept(path))
        found.lost += [
            f"{way}: event {one.event}, acknowledged before, is not in the renamed file"
            for one in appended
            if one.at < changed and UUID(one.event) not in there
        ]
    return found


def _lines(journal: Path, what: str) -> list[Line]:
    return [line for line in read(journal) if line.what == what]


def _ids(path: Path) -> set[UUID]:
    """Return the ids of the events that a later process finds in a file."""
    if not path.exists():
        return set()
    with apsw.Connection(str(path)) as db:
        if (damage := db.execute("PRAGMA integrity_check").get) != "ok":
            raise AssertionError(f"{path} is damaged: {damage}")
        found = {UUID(bytes=uid) for (uid,) in db.execute("SELECT id FROM lionpride_event")}
    db.close()
    return found


async def _until(happens: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not happens():
            await asyncio.sleep(0.02)
