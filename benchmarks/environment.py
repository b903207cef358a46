"""Virtual environments of the other libraries, made at the first use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.isolate import ROOT, Figures, MeasurementError, last_line, run_json

HERE = Path(__file__).parent
INSTALL_TIMEOUT = 300.0


@dataclass(frozen=True)
class Environment:
    """A virtual environment in the repository, and the script that runs in it.

    Attributes:
        name: Of the folder, after ``.venv-``, and of the file of requirements.
        script: It cannot import anything of this repository.
        what: The libraries, for messages.
        proof: A statement that fails if the installation failed.
    """

    name: str
    script: str
    what: str
    proof: str

    @property
    def home(self) -> Path:
        return ROOT / f".venv-{self.name}"

    @property
    def requirements(self) -> Path:
        return HERE / f"{self.name}-requirements.txt"

    def ask(self, question: str, **parameters: Any) -> Figures:
        """Run the script with a function name and its parameters."""
        script = str(HERE / self.script)
        return run_json([str(self.interpreter()), "-I", script, question, json.dumps(parameters)])

    def interpreter(self) -> Path:
        """Return the interpreter; the libraries are installed at the first call."""
        problem = install(self)
        if problem:
            raise MeasurementError(f"{self.what} could not be installed: {problem}")
        return self.home / "bin" / "python"


@lru_cache
def install(environment: Environment) -> str | None:
    """Make the environment unless it exists; return the problem, or None."""
    home = environment.home
    stamp = home / "installed"
    wanted = environment.requirements.read_text()
    if stamp.is_file() and stamp.read_text() == wanted:
        return None
    print(f"installing {environment.what} into {home.name} ...", file=sys.stderr, flush=True)
    python, pins = str(home / "bin" / "python"), str(environment.requirements)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", pins],
        [python, "-I", "-c", environment.proof],
    ):
        problem = run_step(command)
        if problem:
            return problem
    (home / ".gitignore").write_text("*\n")
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
