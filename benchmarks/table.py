"""One table of plain text: the figures, and the bars that they are held to."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.bars import Bar

if TYPE_CHECKING:
    from benchmarks.rounds import Answers

HEADINGS = ("", "N", "median", "minimum", "", "ratio", "bar", "verdict")


class Samples(list[float]):
    """The figures of one candidate, one for each round."""

    @property
    def median(self) -> float:
        return statistics.median(self)

    @property
    def least(self) -> float:
        return min(self)


@dataclass
class Row:
    """A measured figure, a comparison held to a bar, or a note in place of them."""

    label: str
    n: int | None = None
    median: float | None = None
    minimum: float | None = None
    unit: str = ""
    ratio: float | None = None
    bar: str = ""
    verdict: str = ""
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        return (
            self.label,
            "" if self.n is None else f"{self.n:,}",
            spell(self.median),
            spell(self.minimum),
            self.unit,
            "" if self.ratio is None else f"{self.ratio:.3g}",
            self.bar,
            self.verdict,
        )


@dataclass
class Section:
    """The answer to one question."""

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def speed(answers: Answers, one: str, other: str) -> float:
    """Return the speed of one candidate as a share of another's, minimum against minimum.

    Noise only makes a run slower, so the minimum is the best estimate.
    """
    return answers.samples(other, "ns").least / answers.samples(one, "ns").least


def figure(label: str, samples: Samples, unit: str, n: int | None = None) -> Row:
    return Row(label, n, samples.median, samples.least, unit)


def held(label: str, ratio: float, bar: Bar, n: int | None = None) -> Row:
    return Row(label, n, ratio=ratio, bar=str(bar), verdict=bar.verdict(ratio))


def absent(label: str, reason: str, n: int | None = None) -> Row:
    return Row(label, n, note=reason)


def spell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def draw(sections: Iterable[Section]) -> str:
    """All sections under one heading, each column as wide as its widest cell."""
    sections = list(sections)
    rows = [row for section in sections for row in section.rows]
    grid = [HEADINGS, *(row.cells() for row in rows if not row.note)]
    widths = [max(len(cells[i]) for cells in grid) for i in range(len(HEADINGS))]
    lines = [line(HEADINGS, widths)]
    for section in sections:
        lines += ["", section.title]
        for row in section.rows:
            lines.append(f"{row.cells()[0]}: {row.note}" if row.note else line(row.cells(), widths))
        lines += [f"  {note}" for note in section.notes]
    return "\n".join(lines)


def line(cells: tuple[str, ...], widths: list[int]) -> str:
    left = {0, 4, 6, 7}
    padded = (
        cell.ljust(width) if i in left else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()
