"""The example as a user runs it: a process of its own, in a folder with a file of requests."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from llm.provider import Provider

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm_batch.py"
PRICE = "small=2/10"  # dollars for a million tokens, in and out


@dataclass(frozen=True)
class Done:
    """What a run has come to."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict]:
        """The answers that it wrote to standard output."""
        return [json.loads(line) for line in self.out.splitlines()]


class Batch:
    """A folder with ``requests.jsonl``, in which the example is run.

    Args:
        path: The folder.
        prompts: One for each request.
        most: The tokens that an answer may have.
    """

    def __init__(self, path: Path, prompts: Iterable[str], most: int = 40) -> None:
        self.path = path
        self.prompts = list(prompts)
        bodies = (
            {"messages": [{"role": "user", "content": prompt}], "max_tokens": most}
            for prompt in self.prompts
        )
        self.write(*bodies)

    def write(self, *lines: object) -> None:
        """Write other requests: text as it is, anything else as JSON."""
        text = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        (self.path / "requests.jsonl").write_text("".join(f"{line}\n" for line in text))

    async def start(
        self, url: str, *options: str, key: str = "any", **streams: int
    ) -> asyncio.subprocess.Process:
        """Start the example; its standard output and error are pipes, if nothing else is said."""
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        given = ("requests.jsonl", "--base-url", url, "--model", "small", *options)
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", str(EXAMPLE), *given),
            cwd=self.path,
            env={**os.environ, "OPENAI_API_KEY": key, "NO_PROXY": "*"},
            **{**pipes, **streams},
        )

    async def run(self, provider: Provider, *options: str, key: str = "any") -> Done:
        """Run the example to its end."""
        return await done(await self.start(provider.url, *options, key=key))

    def records(self) -> list[dict]:
        """What is on record in ``llm.db``."""
        command = [sys.executable, "-m", "lionpride", "export", "llm.db"]
        lines = subprocess.run(command, cwd=self.path, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in lines.stdout.splitlines()]


async def done(process: asyncio.subprocess.Process) -> Done:
    """Wait for the end of a run; it is killed if the test ends first."""
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Done(process.returncode, *((text or b"").decode() for text in (out, err)))
