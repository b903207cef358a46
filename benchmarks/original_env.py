"""The original's own interpreter, made when it is missing: both packages have one import name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.isolate import ROOT, Figures, MeasurementError, last_line, run_json

HOME = ROOT / ".venv-original"
REQUIREMENTS = Path(__file__).with_name("original-requirements.txt")
SCRIPT = Path(__file__).with_name("original.py")
PINNED = "lionpride==1.0.0a12"
INSTALL_TIMEOUT = 300.0


def ask(question: str, **parameters: Any) -> Figures:
    """Put a question to `original.py`, isolated from this repository's import path."""
    command = [str(interpreter()), "-I", str(SCRIPT), question, json.dumps(parameters)]
    return run_json(command)


def interpreter() -> Path:
    """The interpreter that has the original; installs it at the first call."""
    problem = install()
    if problem:
        raise MeasurementError(f"{PINNED} could not be installed: {problem}")
    return HOME / "bin" / "python"


@lru_cache(maxsize=1)
def install() -> str | None:
    """Make the environment unless its stamp names these requirements; else what went wrong."""
    stamp = HOME / "installed"
    wanted = REQUIREMENTS.read_text()
    if stamp.is_file() and stamp.read_text() == wanted:
        return None
    print(f"installing {PINNED} into {HOME.name} ...", file=sys.stderr, flush=True)
    python = HOME / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(HOME)],
        [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(REQUIREMENTS)],
        [str(python), "-I", "-c", "import lionpride.core"],
    ):
        problem = run_step(command)
        if problem:
            return problem
    (HOME / ".gitignore").write_text("*\n")
    stamp.write_text(wanted)
    return None


def run_step(command: list[str]) -> str | None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command,
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return last_line(done.stderr) or f"exit status {done.returncode}"
