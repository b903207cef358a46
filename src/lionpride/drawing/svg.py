"""Parts of an SVG picture: elements, a time axis with ticks, and round steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import TypeAlias

from .text import one_line

__all__ = ["Attributes", "Axis", "element", "round_step", "round_up", "text"]

Attributes: TypeAlias = Mapping[str, str | float]

SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
"""Steps of a time axis, from one second on."""


def element(name: str, *content: str, **attributes: str | float) -> str:
    """Return an element.

    Args:
        name: Its name.
        content: The elements inside it, and its text: see ``text``.
        attributes: Its attributes: ``text_anchor`` is written as ``text-anchor``, and ``class_`` as
            ``class``. A number is written with at most five digits.
    """
    written = "".join([f' {_name(key)}="{_value(value)}"' for key, value in attributes.items()])
    return f"<{name}{written}>{''.join(content)}</{name}>" if content else f"<{name}{written}/>"


@cache
def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{value:.5g}"


def text(words: str) -> str:
    """Return a text as content: in one line, escaped, without characters that XML forbids."""
    return escape(one_line(words), quote=False)


def round_up(value: float, multiples: Sequence[float] = (1, 2, 5, 10)) -> float:
    """Return the smallest multiple of a power of ten that is not below a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * n for n in multiples if power * n >= value * 0.999)


def round_step(seconds: float) -> float:
    """Return a round step of a time axis that is not below a length of time."""
    if seconds < 1:
        return round_up(max(seconds, 1e-9))
    return float(next((t for t in SECONDS if t >= seconds), 86400 * math.ceil(seconds / 86400)))


@dataclass(frozen=True, slots=True)
class Axis:
    """Time from left to right.

    Attributes:
        begin, end: The times at its ends, in seconds.
        write: Returns the label of a time.
        marks: About how many times are labelled.
        left, width: The place of the axis, in ``unit``.
        unit: "%" of the width of the picture, or "" for pixels.
    """

    begin: float
    end: float
    write: Callable[[float], str]
    marks: int = 5
    left: float = 0.0
    width: float = 100.0
    unit: str = "%"

    @property
    def scale(self) -> float:
        """The length of a second."""
        return self.width / ((self.end - self.begin) or 1.0)

    def x(self, at: float) -> float:
        """Return the place of a time."""
        return self.left + (at - self.begin) * self.scale

    def ticks(self) -> list[float]:
        """Return round times, about as many as are wanted."""
        step = round_step((self.end - self.begin) / self.marks)
        first, last = math.ceil(self.begin / step - 1e-9), math.floor(self.end / step + 1e-9)
        return [n * step for n in range(first, last + 1)]

    def draw(
        self, top: float, bottom: float, base: float, line: Attributes, label: Attributes
    ) -> Iterator[str]:
        """Yield a line from top to bottom and a label for each tick.

        Args:
            top, bottom: The ends of the lines.
            base: The base line of the labels.
            line, label: Attributes of the lines and the labels.
        """
        for at in self.ticks():
            x = self.x(at)
            place, anchor = f"{x:.2f}{self.unit}", "middle"
            if self.unit == "%" and not 4 <= x <= 96:  # a picture without margins
                anchor = "start" if x < 4 else "end"
            yield element("line", x1=place, x2=place, y1=top, y2=bottom, **line)
            yield element(
                "text", text(self.write(at)), x=place, y=base, text_anchor=anchor, **label
            )
