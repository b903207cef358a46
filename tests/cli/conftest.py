"""A directory with a job in it, and the command line run there as a process of its own."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from kept import KEPT, url_of

import lionpride

JOB = """
    import asyncio, os, time
    from pathlib import Path
    from lionpride.core import Event, Executor, Processor
    from lionpride.errors import Skip

    class Work(Event):
        name: str = "work"
        size: int = 1

        async def _invoke(self):
            await asyncio.sleep(0)
            return {"name": self.name, "size": self.size}

    class Choose(Event):
        how: str = "return"

        async def _invoke(self):
            if self.how == "raise":
                raise ValueError("told to")
            if self.how == "skip":
                raise Skip("told to")
            if self.how == "hang":
                await asyncio.Event().wait()
            if self.how == "exit":
                raise SystemExit(5)
            return self.how

    class Chunks(Event):
        streaming: bool = True

        async def _stream(self):
            for i in range(3):
                yield i

    class Held(Event):
        '''Says that it runs, and runs until there is a file called "release".'''
        async def _invoke(self):
            print("running", flush=True)
            while not Path("release").exists():
                await asyncio.sleep(0.01)

    class Noted(Event):
        '''Writes into a journal that it starts and that it ends.'''
        n: int = 0

        async def _invoke(self):
            with open("journal", "a") as journal:
                print("start", self.n, file=journal, flush=True)
                await asyncio.sleep(0.005)
                print("end", self.n, file=journal, flush=True)
            if self.n % 10 == 7:
                raise ValueError(f"told to by {self.n}")
            return {"n": self.n}

    class Blocking(Event):
        async def _invoke(self):
            print("running", flush=True)
            time.sleep(1000)

    class InThread(Event):
        async def _invoke(self):
            print("running", flush=True)
            await asyncio.to_thread(time.sleep, 1000)

    class Plain(Event):
        def _invoke(self):
            print("running", flush=True)
            while not Path("release").exists():
                time.sleep(0.01)

    class Stubborn(Event):
        async def _invoke(self):
            print("running", flush=True)
            while True:
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    pass

    class Sowing(Event):
        async def _invoke(self):
            self._task = asyncio.create_task(self.grow())
            await asyncio.sleep(0)

        async def grow(self):
            try:
                await asyncio.sleep(1000)
            finally:
                print("cleaned up")

    class Denying(Processor):
        event_type = Work

        async def request_permission(self, **request):
            return False

    class Denied(Executor):
        processor_type = Denying

        def __init__(self, processor_config=None):
            super().__init__({"denial_backoff": 0.01, **(processor_config or {})})

    class WorkProcessor(Processor):
        event_type = Work

    class Narrow(Executor):
        processor_type = WorkProcessor

        def __init__(self, processor_config=None):
            super().__init__({"max_queue_size": 7, **(processor_config or {})})
"""


class Place:
    """A working directory with `job.py`; runs the command line there.

    Attributes:
        kept: A STORE for its events, as a command line has it.
        url: The same, as an executor has it.
        keeping: Options of a run from ``events.jsonl`` to ``results.jsonl`` that keeps them there.
    """

    def __init__(self, path: Path, kept: str = "run.db", url: str = "sqlite:///run.db") -> None:
        self.path = path
        self.kept, self.url = kept, url
        files = ("--input", "events.jsonl", "--output", "results.jsonl")
        self.keeping = (*files, "--store", url)
        source = str(Path(lionpride.__file__).parent.parent)
        self.env = {**os.environ, "PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"}
        (path / "job.py").write_text(textwrap.dedent(JOB))

    def write(self, *lines: object, name: str = "events.jsonl") -> str:
        """Write lines of input: text as it is, anything else as JSON."""
        text = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        (self.path / name).write_text("".join(f"{line}\n" for line in text))
        return name

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "lionpride", *arguments]

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.path,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run code in a process of its own."""
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=self.path,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.path,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def store(self, *arguments: str) -> list[dict]:
        """What a command that writes JSON lines says of a store."""
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return self.lines(done.stdout)

    def lines(self, text: str) -> list[dict]:
        """Lines of JSON, read."""
        return [json.loads(line) for line in text.splitlines()]

    def results(self, name: str = "results.jsonl") -> list[dict]:
        return [json.loads(line) for line in (self.path / name).read_text().splitlines()]


@pytest.fixture
def place(request, tmp_path):
    """Its store is a file, or with ``@over_kept`` of each kind in turn."""
    if not hasattr(request, "param"):
        return Place(tmp_path)
    url = url_of(request.param, tmp_path)
    return Place(tmp_path, url, url)


@pytest.fixture(params=KEPT)
def kept(request, tmp_path):
    """The URL of an empty store, of each kind that outlives its processes."""
    return url_of(request.param, tmp_path)
