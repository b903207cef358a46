"""The picture of a run is legible whether the notebook around it is light or dark."""

from typing import Any

import pytest
from web.kit import browser_tab, needs_browser

from lionpride.drawing.chart import Span
from lionpride.drawing.notebook import Picture, html_of
from lionpride.drawing.timeline import COLOURS, draw

pytestmark = [needs_browser, pytest.mark.guard(60)]

STATUSES = ["completed", "failed", "cancelled", "aborted", "skipped", "processing", "pending"]

CONTRASTS = """() => {
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => {
    const [high, low] = [light(rgb(a)), light(rgb(b))].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const svg = document.querySelector("svg");
  const ground = getComputedStyle(svg.querySelector("rect")).fill;
  const texts = [...svg.querySelectorAll("text:not([pointer-events])")]
    .map((one) => [one.textContent, contrast(getComputedStyle(one).fill, ground)]);
  const bars = [...svg.querySelectorAll("rect[rx]")].map((bar) => {
    const { fill, stroke } = getComputedStyle(bar);
    const line = stroke === "none" ? 1 : contrast(stroke, ground);
    return [bar.getAttribute("fill"), Math.max(line, contrast(fill, ground))];
  });
  const dark = light(rgb(ground)) < 0.2;
  return { texts, bars, dark };
}"""


def shown() -> str:
    """What a notebook shows of a run with every status."""
    spans = [Span(0, n, n + 1, status, "") for n, status in enumerate(STATUSES[:-1])]
    spans += [Span(0, None, None, "pending"), Span(0, 7, 8, "pending")]
    return html_of("a run", dict.fromkeys(STATUSES, 1), Picture(draw(spans, "a run")))


@pytest.mark.parametrize(
    ("scheme", "root", "body", "dark"),
    [
        ("light", "", "", False),
        ("dark", "", "", True),
        ("light", "", 'data-jp-theme-light="false"', True),
        ("light", "", 'class="vscode-dark"', True),
        ("light", 'theme="dark"', "", True),
        ("light", "", 'data-jp-theme-light="true"', False),
    ],
)
async def test_the_picture_is_legible(scheme: Any, root: str, body: str, dark: bool) -> None:
    async with browser_tab(color_scheme=scheme) as tab:
        await tab.set_content(f"<!doctype html><html {root}><body {body}>{shown()}</body></html>")
        found = await tab.evaluate(CONTRASTS)
    assert found["dark"] is dark
    assert len(found["texts"]) > 10
    assert [each for each in found["texts"] if each[1] < 4.5] == []
    assert {colour for colour, _ in found["bars"]} == set(COLOURS.values())
    assert [each for each in found["bars"] if each[1] < 1.5] == []
