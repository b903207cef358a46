"""Locks on the database file: SQLite alone may open and close it.

When any descriptor of a file is closed, POSIX drops all locks that the process has on that file.
Another program then takes itself for the file's only user, and deletes the log when it closes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lionpride.core import EventStatus
from lionpride.stores.sqlite import SqliteStore

WRITER = """
import asyncio, sys
from lionpride import Event, Executor, Processor

path = sys.argv[1]

class Note(Event):
    number: int

class Notes(Processor):
    event_type = Note

class Notebook(Executor):
    processor_type = Notes

def wait_for(what):
    print(what, flush=True)
    sys.stdin.readline()

async def main():
    notebook = Notebook(store=f"sqlite:///{path}", queue="notebook")
    for number in range(2):
        await notebook.append(Note(number=number))
    other = Notebook(store=f"sqlite:///{path}", queue="notebook")
    {deed}
    await asyncio.to_thread(wait_for, "open")
    for number in range(2, 7):
        await notebook.append(Note(number=number))
    await asyncio.to_thread(wait_for, "appended")

asyncio.run(main())
"""

DEEDS = {
    "another executor appends": "await other.append(Note(number=7))",
    "another executor is closed": "await other.store.counts(); await other.store.close()",
    "its schema is asked for": "await other.store.schema()",
    "it is examined": "await other.store.examine()",
    "it is looked at": "await other.store.inspector.version()",
    "it is upgraded": "await other.store.upgrade()",
}

READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
connection.close()
"""


@pytest.mark.promise("other-programs-may-close-the-file")
@pytest.mark.parametrize("deed", DEEDS.values(), ids=list(DEEDS))
async def test_appends_survive_a_reader_that_closes_and_a_kill(deed: str, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER.replace("{deed}", deed), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    with writer:
        try:
            assert writer.stdout.readline() == "open\n"
            subprocess.run([sys.executable, "-c", READER, str(path)], check=True, timeout=60)
            print("go", file=writer.stdin, flush=True)
            assert writer.stdout.readline() == "appended\n"
        finally:
            writer.kill()
    store = SqliteStore(path, "notebook")
    try:
        numbers = {each.payload["number"] for each in await store.list_records(EventStatus.PENDING)}
        assert numbers >= set(range(7))
    finally:
        await store.close()


COMMANDS = """
import json, os, sys
from lionpride.cli import main

opened = []

def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        name = os.path.basename(os.fsdecode(arguments[0]))
        is_new = isinstance(arguments[2], int) and arguments[2] & os.O_EXCL  # it has no locks yet
        if name in ("run.db", "run.db-shm", "run.db-journal") and not is_new:
            opened.append([command[0], name])

command = [""]
sys.addaudithook(note)
for command in json.loads(sys.argv[1]):
    main(command)
for command in opened:
    print("opened:", *command)
"""


def test_no_command_opens_the_file_but_through_sqlite(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "from lionpride import Event\n\n\nclass Note(Event):\n    n: int\n\n"
        "    async def _invoke(self):\n        return self.n\n"
    )
    (tmp_path / "in.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    commands = [
        ["migrate", "run.db"],
        ["run", "job.py:Note", "--input", "in.jsonl", "--store", "run.db"],
        ["run", "job.py:Note", "--input", "run.db", "--store", "run.db"],
        ["run", "job.py:Note", "--input", "in.jsonl", "--store", "run.db", "--output", "run.db"],
        ["work", "job.py:Note", "--store", "run.db", "--until-empty"],
        ["ls", "run.db"],
        ["counts", "run.db"],
        ["export", "run.db", "-o", "out.jsonl"],
        ["export", "run.db", "-o", "run.db"],
        ["import", "out.jsonl", "run.db", "--exist-ok"],
        ["import", "run.db", "run.db"],
        ["workers", "run.db"],
        ["migrate", "run.db", "--check"],
        ["doctor", "run.db"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert "2 events of run.db written to out.jsonl" in done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("opened:")] == []
