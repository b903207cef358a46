"""How the commands that look at a store say what they found: tables, or a JSON object a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..drawing.text import columns, one_line
from .streams import tell

__all__ = ["json_line", "show_fields", "show_table"]


def json_line(data: Mapping[str, Any]) -> str:
    """An object as one line, which any terminal and file can take: in ASCII."""
    return json.dumps(data)


def show_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()
) -> None:
    """Print a table: drawn on a terminal if rich is there, else as aligned text.

    Control characters are removed from the cells, since their text comes from a store.
    """
    safe = [[one_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        try:
            from .pretty import draw_table  # late: rich is an extra, and slow to import
        except ImportError:
            pass
        else:
            tell()
            draw_table(headings, safe, right)
            return
    tell("\n".join(columns([headings, *safe], right)))


def show_fields(fields: Mapping[str, str]) -> None:
    """Print names and values, one a line; a value of several lines is indented below its name."""
    width = max(map(len, fields))
    lines = []
    for name, value in fields.items():
        first, *rest = [one_line_kept(line) for line in value.split("\n")]
        lines.append(f"{name.ljust(width)}  {first}".rstrip())
        lines += [f"{'':{width}}  {line}" for line in rest]
    tell("\n".join(lines))


def one_line_kept(text: str) -> str:
    """A line without what a terminal would obey, its indentation kept."""
    return "".join(c for c in text if c.isprintable())
