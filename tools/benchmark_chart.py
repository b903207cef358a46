"""Draws the table of docs/explanation/benchmarks.md: ``python tools/benchmark_chart.py``.

A row of the table is a bar. Its length is the logarithm of the time for an event, as a multiple of
this library's.
"""

from __future__ import annotations

import math
import re
from html import escape
from itertools import groupby
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "explanation" / "benchmarks.md"
PICTURE = DOCS / "pictures" / "benchmarks.svg"

WIDTH, LEFT, RIGHT = 800, 250, 90
ROW, HEAD, TOP = 24, 34, 48
OURS, OTHERS = "#0072B2", "#b0b7bf"

_ROW = re.compile(
    r"^\| (?P<store>[^|]+) \| (?P<library>[^|]+) \| (?P<time>[\d.,]+) \|", re.MULTILINE
)


def rows(page: str) -> list[tuple[str, str, float]]:
    """Return the store, the library and the relative time of each row of the table."""
    return [
        (
            found["store"].strip(),
            found["library"].strip(" *"),
            float(found["time"].replace(",", "")),
        )
        for found in _ROW.finditer(page)
    ]


def chart(page: str) -> str:
    """Return the chart of a page's table as SVG."""
    found = rows(page)
    low = min(time for _, _, time in found) / 2
    high = max(time for _, _, time in found)

    def length(time: float) -> float:
        return (WIDTH - LEFT - RIGHT) * math.log(time / low) / math.log(high / low)

    parts, y = list[str](), TOP
    for store, group in groupby(found, key=lambda row: row[0]):
        parts.append(f'<text x="20" y="{y + 20}" font-weight="600">{escape(store)}</text>')
        y += HEAD
        for _, library, time in group:
            colour = OURS if library.startswith("lionpride") else OTHERS
            parts.append(
                f'<text x="{LEFT - 10}" y="{y + 13}" text-anchor="end">{escape(library)}</text>'
                f'<rect x="{LEFT}" y="{y}" width="{length(time):.1f}" height="17" rx="2" '
                f'fill="{colour}"/>'
                f'<text x="{LEFT + length(time) + 6:.1f}" y="{y + 13}">{time:g}</text>'
            )
            y += ROW
        y += 6
    title = "Time for each job, lionpride = 1: shorter is faster, logarithmic scale"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 10}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#1a1a1a">\n'
        f"<title>{title}</title>\n"
        '<rect width="100%" height="100%" fill="#ffffff"/>\n'
        f'<text x="20" y="30" font-size="15">{title}</text>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


if __name__ == "__main__":
    PICTURE.write_text(chart(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
