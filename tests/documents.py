"""Reads the fenced blocks of the project's documents, and runs a Python one as a user would."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from kept import url_of

ROOT = Path(__file__).parents[1]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)")
_NOT_RUN = re.compile(r"^# not run: (?P<reason>.+)$")
_FILE = re.compile(r"^# (?P<name>\w+\.py)$")

# Started with the block on standard input. The block is the whole of `__main__`, and may await at
# its top level. Its file has the document's name, so that a traceback points into the document.
_RUNNER = """
import ast, asyncio, inspect, sys
_code = compile(sys.stdin.read(), sys.argv[1], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
_run = (lambda: asyncio.run(eval(_code, globals()))) if _code.co_flags & inspect.CO_COROUTINE else (
    lambda: exec(_code, globals()))
_run()
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text and the document's line of its first line."""

    document: str
    language: str
    text: str
    line: int

    @property
    def name(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def not_run(self) -> str | None:
        """The reason that the block gives for not being run."""
        found = _NOT_RUN.match(self.text.split("\n", 1)[0])
        return found["reason"] if found else None

    @property
    def file(self) -> str | None:
        """The file that the block is, if its first line names one, as in `# jobs.py`."""
        found = _FILE.match(self.text.split("\n", 1)[0])
        return found["name"] if found else None


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(*languages: str) -> list[Block]:
    return [b for path in documents() for b in blocks_of(path) if b.language in languages]


def blocks_of(path: Path) -> list[Block]:
    name = path.relative_to(ROOT).as_posix()
    found: list[Block] = []
    language, indent, start, lines = None, "", 0, list[str]()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if language is None and fence:
            language, indent, start, lines = fence["language"], fence["indent"], number + 1, []
        elif language is not None and fence and not fence["language"]:
            found.append(Block(name, language, "\n".join(lines), start))
            language = None
        elif language is not None:
            lines.append(line.removeprefix(indent))
    assert language is None, f"{name}: the block of line {start} is not closed"
    return found


def write_files(document: str, folder: Path, before: int | None = None) -> None:
    """Write the files that a document shows; those before a line, if it is given."""
    for block in blocks_of(ROOT / document):
        if block.file and (before is None or block.line <= before):
            (folder / block.file).write_text(block.text + "\n", encoding="utf-8")


def run(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a block in a process of its own that stands in an empty folder; warnings are errors.

    The files that the document has shown before are in that folder, and can be imported. A block
    that names ``DATABASE_URL`` finds there a PostgreSQL server, with a schema of its own;
    and ``SAME_DATABASE`` is that server in words that any driver understands.
    """
    write_files(block.document, folder, before=block.line)
    environment = dict(os.environ)
    if "DATABASE_URL" in block.text:
        url = environment["DATABASE_URL"] = url_of("postgres", folder)
        environment["SAME_DATABASE"] = re.sub(r"[?&]lionpride_\w+=\w+", "", url)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", _RUNNER, block.document],
        input="\n" * (block.line - 1) + block.text,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=60,
        check=False,
    )
