"""Reads the user's notebook text, `spec/processor_executor.md`, into its cells.

The text is markdown with `In [N]:` before each code cell. What a cell printed follows its code
with only an empty line between them, and some printed lines are valid Python
(`Executor: Executor(total=0)` is an annotation). So the code is found by paragraphs: it is the
longest run of them, from the cell's start, that compiles. The first printed paragraph of every cell
holds a line that is not Python, so the run ends before it; `tests/spec` keeps a table of those
lines and checks.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

SPEC = Path(__file__).parents[1] / "spec" / "processor_executor.md"

_CELL = re.compile(r"^In \[(\d+)\]:$")
_HEADING = re.compile(r"^## ")


@dataclass(frozen=True)
class Cell:
    """A cell of the notebook. `number` is 0 for markdown; `line` is where the source starts."""

    number: int
    source: str
    output: str
    line: int

    @property
    def is_code(self) -> bool:
        return self.number > 0


def read_cells(path: Path = SPEC) -> list[Cell]:
    """Return the markdown and code cells in their order."""
    cells: list[Cell] = []
    start, lines = 1, list[str]()
    number = 0
    for position, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        begins = _CELL.match(line)
        if begins or (number and _HEADING.match(line)):
            cells += _cell(number, lines, start)
            number = int(begins[1]) if begins else 0
            start, lines = (position + 1, []) if begins else (position, [line])
        else:
            lines.append(line)
    return cells + _cell(number, lines, start)


def _cell(number: int, lines: list[str], start: int) -> list[Cell]:
    text = "\n".join(lines).strip("\n")
    if not text:
        return []
    if not number:
        return [Cell(0, text, "", start)]
    source, output = split_output(text)
    return [Cell(number, source, output, start)]


def split_output(text: str) -> tuple[str, str]:
    """Split a code cell's text into its source and what it printed."""
    ends = [gap.start() for gap in re.finditer(r"\n\n", text)] + [len(text)]
    end = max((end for end in ends if compiles(text[:end])), default=0)
    if not end:
        raise ValueError(f"no part of this cell is Python: {text[:60]!r}")
    return text[:end].rstrip("\n"), text[end:].strip("\n")


def compiles(source: str) -> bool:
    try:
        compile(source, "<spec>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError:
        return False
    return True
