"""Programs of this environment: servers at a port of their own, and workers."""

import asyncio
import os
import re
import shlex
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def command_of(example: str, program: str, store: str) -> list[str]:
    """The arguments of a program in the text at the top of an example, for another store."""
    text = (EXAMPLES / example).read_text(encoding="utf-8")
    found = re.search(rf"^    (?:STORE=\S+ )?({program} .+)$", text, re.MULTILINE)
    assert found is not None
    return [store if word == "sqlite:///run.db" else word for word in shlex.split(found[1])]


@asynccontextmanager
async def process(*command: str, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program of this environment until the end of the block, then ask it to stop."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, env={**os.environ, **env}, cwd=ROOT
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
            await started.wait()


@asynccontextmanager
async def server(
    *arguments: str, **env: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run a web server until the end of the block, and yield it and its URL.

    Args:
        *arguments: Of Python; "{fd}" in them is the number of the listening socket, so that
            requests wait until the server has started.
        **env: Variables of its environment.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        port, number = listening.getsockname()[1], listening.fileno()
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, *(each.replace("{fd}", str(number)) for each in arguments)),
            env={**os.environ, **env},
            cwd=ROOT,
            pass_fds=(number,),
        )
    try:
        yield started, f"http://127.0.0.1:{port}"
    finally:
        if started.returncode is None:
            started.terminate()
            await started.wait()
