"""The events of these tests, and the stores that they run on."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from stores.homes import Home

from lionpride import job

ROOT = Path(__file__).resolve().parents[2]

QUIET = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")
"""Warnings are errors, except for the one of Python 3.12 about forks beside threads."""

JOBS = """
import asyncio, os, signal, sys, threading, time
from lionpride import job
from lionpride.sync import Executor

@job
async def square(number: int) -> int:
    return number * number

@job
async def endless() -> None:
    await asyncio.Event().wait()

store = sys.argv[1] if len(sys.argv) > 1 else None
"""
"""The beginning of each script."""


@job
async def square(number: int) -> int:
    return number * number


@job
async def count(number: int) -> AsyncIterator[int]:
    for each in range(number):
        yield each


@job
async def broken() -> None:
    raise ValueError("broken")


def postgres_url(home: Home) -> str:
    """Return the URL of a schema of the tests."""
    return f"{home.url}{'&' if '?' in home.url else '?'}lionpride_schema={home.schema}"


def start(script: str, *arguments: str, before: str = "") -> subprocess.Popen[str]:
    """Start a script in a process of its own.

    Args:
        script: What follows ``JOBS``; or the path of a file in place of both.
        *arguments: The arguments of the process.
        before: Code before the import of the library.
    """
    code = [script] if script.endswith(".py") else ["-c", before + JOBS + script]
    return subprocess.Popen(
        [sys.executable, *QUIET, *code, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(script: str, *arguments: str, before: str = "") -> list[str]:
    """Run a script to its end, and return the lines that it writes; see ``start``."""
    with start(script, *arguments, before=before) as process:
        try:
            out, err = process.communicate(timeout=25)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, ""), out + err
    return out.splitlines()
