"""The tutorial can be typed as it stands, and prints what it shows."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from documents import ROOT, blocks_of, write_files

TUTORIAL = "docs/tutorial.md"
PATIENCE = 60.0  # seconds


def commands() -> Iterator[tuple[str, list[str]]]:
    """The commands of the tutorial in order, each with the lines that it should print."""
    for block in blocks_of(ROOT / TUTORIAL):
        if block.language == "console":
            for text in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, *lines = text.splitlines()
                yield command, lines


def pattern(lines: list[str]) -> str:
    """A pattern for the lines; an ellipsis stands for any text, alone in a line for any lines."""
    parts = [
        r"(?:[^\n]*\n)*?" if line == "…" else re.escape(line).replace("…", r"[^\n]*") + r"\n"
        for line in lines
    ]
    return "".join(parts)


def type_in(command: str, lines: list[str], folder: Path) -> None:
    """Run a command as in a terminal; `^C` is Ctrl-C, sent when the lines before it are printed."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with_interrupt = "^C" in lines
    printed = folder / "printed.txt"
    with printed.open("wb") as file:
        process = subprocess.Popen(
            shlex.split(command) if with_interrupt else ["sh", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        if with_interrupt:
            at = lines.index("^C")
            wait_for(pattern(lines[:at]), printed)
            lines = [*lines[:at], "…", *lines[at + 1 :]]
            process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
    text = printed.read_text(encoding="utf-8")
    assert re.fullmatch(pattern(lines), text), f"$ {command}\n{text}"


def wait_for(text: str, printed: Path) -> None:
    """Wait until a file begins with a pattern."""
    end = monotonic() + PATIENCE
    while not re.match(text, printed.read_text(encoding="utf-8")):
        assert monotonic() < end, printed.read_text(encoding="utf-8")
        sleep(0.05)


def test_the_tutorial_prints_what_it_shows(tmp_path: Path) -> None:
    write_files(TUTORIAL, tmp_path)
    steps = list(commands())
    assert steps
    for command, lines in steps:
        type_in(command, lines, tmp_path)
