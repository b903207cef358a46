"""Run each measurement in a process of its own, so that no heap or cache is inherited."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 600.0

Figures = dict[str, Any]


class MeasurementError(Exception):
    """A measurement failed; the message is the last line that its process wrote."""


def measure(module: str, parameters: dict[str, Any]) -> Figures:
    """Call `benchmarks.<module>.child` with these parameters in a fresh interpreter."""
    command = [sys.executable, "-m", "benchmarks.child", module, json.dumps(parameters)]
    return run_json(command)


def run_json(command: list[str], environment: dict[str, str] | None = None) -> Figures:
    """Run a command in the root, and return the figures in its last line of output."""
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"no answer within {TIMEOUT:.0f} s") from error
    if done.returncode != 0:
        raise MeasurementError(last_line(done.stderr) or f"exit status {done.returncode}")
    figures: Figures = json.loads(last_line(done.stdout))
    return figures


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
