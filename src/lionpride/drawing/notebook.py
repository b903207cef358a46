"""Display in a notebook: counts as HTML, and a picture as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from .chart import Span
from .text import one_line, plural
from .timeline import COLOURS, draw

__all__ = ("Picture", "html_of", "picture_of", "title_of")


class Picture:
    """A picture as SVG. A notebook displays it, and ``save`` writes it into a file.

    Args:
        svg: The SVG as text.
    """

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def __repr__(self) -> str:
        return f"<a picture, {len(self.svg):,} characters of SVG: save(path) writes it>"

    def __str__(self) -> str:
        return self.svg

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str) -> None:
        """Write the SVG into a file."""
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123  # a path of any kind
            file.write(self.svg)


def picture_of(spans: Sequence[Span], title: str) -> Picture:
    """Return the picture of a run: a bar for each attempt."""
    return Picture(draw(spans, title))


def title_of(kind: str, name: str | None) -> str:
    """Return the name of a class, with the name of the instance if it was given one."""
    return kind if not name else f"{kind} {name}"


def html_of(title: str, counts: Mapping[str, int], picture: Picture | None) -> str:
    """Return the HTML of a heading, the counts, and a picture if there is one."""
    cells = "".join(
        '<td style="text-align:left;padding:.2em 1.2em .2em 0">'
        f'<span style="display:inline-block;width:.7em;height:.7em;border-radius:50%;'
        f'box-shadow:0 0 0 1px #8a8a8a;background:{COLOURS.get(name, "#8a8a8a")}"></span> '
        f"<b>{number:,}</b> {escape(one_line(name))}</td>"
        for name, number in counts.items()
        if number
    )
    total = plural(sum(counts.values()), "event")
    drawn = "" if picture is None else f'<div style="max-width:60em">{_fluid(picture.svg)}</div>'
    return (
        f"<div><strong>{escape(one_line(title))}</strong> · {total}"
        f"<table><tr>{cells}</tr></table>{drawn}</div>"
    )


def _fluid(svg: str) -> str:
    """Return an SVG as wide as the page."""
    head, mark, rest = svg.partition(">")
    width = head.partition(' width="')[2].partition('"')[0]
    height = head.partition(' height="')[2].partition('"')[0]
    head = head.replace(f' width="{width}" height="{height}"', ' width="100%"')
    return head + mark + rest
