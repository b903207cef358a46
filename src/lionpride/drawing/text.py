"""Numbers, times and names as short texts for people."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from collections.abc import Collection, Sequence
from pathlib import Path

__all__ = [
    "clock",
    "columns",
    "duration",
    "fitting",
    "how_far",
    "in_unit",
    "number",
    "one_line",
    "plural",
    "rate",
    "shorten",
    "text_width",
    "trouble",
    "unit_of",
    "wait",
]

_OURS = str(Path(__file__).parent.parent) + os.sep
_INSTALLED = (
    _OURS,
    "<frozen ",
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
_BLANKS = re.compile(r"\s+")

# Widths of letters in a wide sans-serif font, as shares of its size.
_WIDTHS = (("fijlrt.,:;'|!/-()[] I", 0.37), ("_sczxJ", 0.54), ("mwMW%@…", 0.95))
_EMS = {letter: width for letters, width in _WIDTHS for letter in letters}


def duration(seconds: float) -> str:
    """Write a length of time with about three digits: 0.4 ms, 12 ms, 3.21 s, 2 min 5 s."""
    if seconds < 0.000_05:
        return "0 s" if seconds <= 0 else "<0.1 ms"
    if seconds < 0.00995:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "days": 86_400.0}


def wait(seconds: float) -> str:
    """Write a wait or a span in one unit, as people write it: 0.4 s, 3.2 s, 4 min, 1.5 h."""
    return in_unit(seconds, unit_of(seconds))


def unit_of(*seconds: float) -> str:
    """Return the unit that suits the shortest of some lengths of time."""
    least = min(seconds)
    if least < 99.5:
        return "s"
    if least < 99.5 * 60:
        return "min"
    return "h" if least < 48 * 3600 else "days"


def in_unit(seconds: float, unit: str) -> str:
    """Write a length of time in a unit, with a decimal place if it is short: 3.2 s, 3,600 s."""
    value = seconds / _UNITS[unit]
    if value < 0.095:
        return f"{value:.1g} {unit}"
    text = f"{value:,.1f}" if value < 9.95 else f"{value:,.0f}"
    return f"{text.removesuffix('.0')} {unit}"


def number(value: float) -> str:
    """Write an amount as people write it: 1, -1, 0.25, 1,000,000."""
    if value == round(value, 0) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def clock(seconds: float) -> str:
    """Write a length of time as a clock: 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rate(per_second: float) -> str:
    """Write a rate: 1,234/s, 12.3/s, or 4.5/min if it is below one a second."""
    if per_second >= 100:
        return f"{per_second:,.0f}/s"
    if per_second >= 1:
        return f"{per_second:.1f}/s"
    return f"{per_second * 60:.1f}/min"


def plural(number: int, noun: str) -> str:
    """Write a count with its noun: 1 event, 1,790 events."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def how_far(progress: tuple[float | None, str] | None, chunks: int | None) -> str:
    """Write the progress of an event: 40% page 4 of 10, and the number of its chunks."""
    parts = []
    if progress is not None:
        fraction, note = progress
        parts += [f"{fraction:.0%}" if fraction is not None else "", one_line(note)]
    if chunks:
        parts.append(plural(chunks, "chunk"))
    return " ".join(filter(None, parts))


def one_line(text: str) -> str:
    """Replace line breaks and runs of blanks by one blank, and remove control characters."""
    line = _BLANKS.sub(" ", text).strip()
    return line if line.isprintable() else "".join(c for c in line if c.isprintable())


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return a table as lines of text; the columns in ``right`` are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a text that is longer than ``width``."""
    if len(text) <= width:
        return text
    head = max(0, (width - 1) // 3)
    tail = max(0, width - 1 - head)
    return f"{text[:head]}…{text[len(text) - tail :]}"


def text_width(text: str, size: float) -> float:
    """Return the approximate width of a text in a font size, rather too large than too small."""
    return size * sum(_EMS.get(c, 0.64 if c < "\u2e80" else 1.0) for c in text)


def fitting(text: str, width: float, size: float) -> str:
    """Return the part of a text that fits into a width: all, the end of a path, or cut a little.

    The result is empty if less than two thirds of the text would fit.
    """
    while text_width(text, size) > width:
        _head, slash, tail = text.partition("/")
        if not slash or not tail:
            break
        text = tail
    else:
        return text
    name = text.rstrip("/")
    least = max(11, len(name) * 2 // 3)  # a short name is unreadable if it is cut
    return next(
        (
            cut
            for room in range(len(name) - 1, least, -1)
            if text_width(cut := shorten(name, room), size) <= width
        ),
        "",
    )


def trouble(error: BaseException) -> str:
    """Return an error in one line, with its place: job.py line 3: ValueError: no such size.

    The place is the last line of the user's own code, if there is one, and not that of a library.
    """
    name = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name} line {error.lineno}: {name}: {error.msg}"
    frames: list[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    for others in (_INSTALLED, _OURS):
        frames = [each for each in frames if not each.filename.startswith(others)] or frames
    where = ""
    if frames and "importlib" not in frames[-1].filename:
        where = f"{Path(frames[-1].filename).name} line {frames[-1].lineno}: "
    return shorten(f"{where}{name}: {one_line(str(error))}".removesuffix(": "), 300)
