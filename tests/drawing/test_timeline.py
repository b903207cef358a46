"""The picture: well-formed, standalone, true to its records, and never too large."""

import itertools
import random
import re
from xml.etree import ElementTree as ET

import pytest

from lionpride.drawing.chart import Span
from lionpride.drawing.timeline import COLOURS, draw

SVG = "{http://www.w3.org/2000/svg}"
STATUSES = ["completed", "failed", "cancelled", "skipped"]


def a_run(number: int, slots: int, mean: float = 0.05, seed: int = 1) -> list[Span]:
    chance = random.Random(seed)
    free = [0.0] * slots
    spans = []
    for i in range(number):
        start = min(free)
        end = start + chance.expovariate(1 / mean)
        free[free.index(start)] = end
        status = chance.choices(STATUSES, [94, 3, 2, 1])[0]
        spans.append(Span(0.0, start, end, status, f"line {i + 1}"))
    return spans


def parsed(spans, title="a run"):
    return ET.fromstring(draw(spans, title))


def texts(root):
    return [node.text or "" for node in root.iter(f"{SVG}text")]


def bars(root):
    """The rectangles that have a tooltip."""
    return [rect for rect in root.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]


def test_every_event_of_a_small_run_is_a_bar_with_a_tooltip():
    spans = a_run(20, 4)
    root = parsed(spans)
    drawn = bars(root)
    assert len(drawn) == 20
    tips = {bar.find(f"{SVG}title").text.split("\n")[0] for bar in drawn}
    assert tips == {span.label for span in spans}
    assert all("waited" in bar.find(f"{SVG}title").text for bar in drawn)


def test_a_bar_has_the_place_and_the_colour_of_its_span():
    root = parsed([Span(0, 0, 1, "completed"), Span(0, 1, 2, "failed"), Span(0, 0, 2, "skipped")])
    first, second, third = sorted(bars(root), key=lambda b: (float(b.get("y")), float(b.get("x"))))
    assert [b.get("fill") for b in (first, second, third)] == [
        COLOURS[status] for status in ("completed", "failed", "skipped")
    ]
    assert first.get("y") == second.get("y") < third.get("y")
    assert float(first.get("x")) < float(second.get("x"))
    assert float(third.get("width")) == pytest.approx(2 * float(first.get("width")), abs=1.5)


def test_title_statistics_and_legend_are_written():
    words = texts(parsed([*a_run(50, 4), Span(0, None, 1, "aborted")], "job.py:Resize"))
    assert words[0] == "job.py:Resize"
    assert "51 events" in words[1]
    assert "4 slots" in words[1]
    assert "p50" in words[1]
    assert "p95" in words[1]
    assert any(re.fullmatch(r"completed \d+", word) for word in words)
    assert "aborted 1" in words
    assert any("settled without running" in word for word in words)


@pytest.mark.parametrize(("number", "slots"), [(2_001, 16), (20_000, 16), (20_000, 400)])
def test_many_events_make_a_small_picture(number, slots):
    spans = a_run(number, slots, 0.004)
    text = draw(spans, "many")
    root = ET.fromstring(text)
    assert len(text) < 3_000_000
    assert not bars(root)
    assert sum(1 for _ in root.iter()) < 500
    assert f"{number:,} events" in texts(root)[1]


def test_a_single_failure_among_thousands_is_drawn():
    spans = [Span(0, i / 1000, (i + 1) / 1000, "completed") for i in range(20_000)]
    spans[7_777] = Span(0, 7.777, 7.778, "failed")
    fills = [path.get("fill") for path in parsed(spans).iter(f"{SVG}path") if path.get("d")]
    assert COLOURS["failed"] in fills


def test_a_wait_while_the_slot_is_free_is_a_thin_line():
    spans = [Span(0, 0, 1, "completed"), Span(0, 3, 4, "completed")]
    lines = [p for p in parsed(spans).iter(f"{SVG}path") if p.get("stroke-width") == "1.5"]
    assert len(lines) == 1


def test_the_picture_has_no_external_reference_and_no_script():
    text = draw(a_run(50, 4), "x").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|href|<script|url\(|@import|<image|on\w+=", text)


def test_any_text_can_be_drawn():
    nasty = '</text><script>alert("1")</script>\x00\x1b\ud800&'
    root = parsed([Span(0, 0, 1, "completed", nasty)], nasty)
    assert not list(root.iter(f"{SVG}script"))
    draw([Span(0, 0, 1, "completed", nasty)], nasty).encode()


def test_the_same_records_give_the_same_picture():
    assert draw(a_run(300, 8), "x") == draw(a_run(300, 8), "x")


@pytest.mark.parametrize(
    "spans",
    [
        [],
        [Span(5, None, None, "pending")],
        [Span(5, 5, 5, "completed")],
        [Span(5, 5, None, "processing"), Span(5, None, None, "pending")],
        [Span(0, 0, 1e-7, "completed")],
        [Span(0, 0, 1e7, "completed"), Span(0, 5, 6, "pending"), Span(6, 7, 8, "failed")],
    ],
    ids=["empty", "left", "instant", "cut off", "short", "long"],
)
def test_unusual_runs_are_drawn(spans):
    text = draw(spans, "edge")
    ET.fromstring(text)
    assert "nan" not in text
    assert "inf" not in text


@pytest.mark.parametrize(
    ("label", "drawn"),
    [("short.py", "short.py"), ("n" * 99 + "/name.py", "name.py"), ("n" * 99, None)],
)
def test_a_bar_has_as_much_of_its_label_as_fits(label, drawn):
    spans = [Span(0, 0, 1, "completed", label), *[Span(0, i, i + 1, "completed") for i in range(9)]]
    inside = [node.text for node in parsed(spans).iter(f"{SVG}text") if node.get("pointer-events")]
    assert inside == ([] if drawn is None else [drawn])


def test_the_number_of_waiting_events_is_drawn_in_steps():
    short = [Span(at, at + 1e-4, at + 0.1, "completed") for at in (n / 10 for n in range(50))]
    root = parsed([Span(0, None, None, "pending"), *short])
    (area,) = [path for path in root.iter(f"{SVG}path") if path.get("fill-opacity") == "0.28"]
    points = re.findall(r"[ML]([\d.]+) ([\d.]+)", area.get("d"))
    assert len(points) > 100
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(points))


def test_every_kind_has_a_colour_of_its_own():
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_a_run_without_waiting_events_has_a_note():
    assert "no event had to wait in the queue" in texts(parsed([Span(0, 0, 1, "completed")]))
    assert "waiting in the queue" in texts(parsed([Span(0, 0.5, 1, "completed")]))
