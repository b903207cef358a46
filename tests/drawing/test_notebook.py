"""What a notebook shows of events."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pydantic import Field

from lionpride.core import Element, Event, Executor, Flow, Processor, Progression, Retry

EVIL = "<script>window.stolen = 1</script>"


class Job(Event):
    password: str = Field("a-secret", repr=False)
    name: str = ""
    ends: str = "well"

    async def _invoke(self) -> Any:
        if self.ends == "badly":
            raise ValueError(EVIL)
        return self.name


class Jobs(Processor):
    event_type = Job


class JobExecutor(Executor):
    processor_type = Jobs


def bars(svg: str) -> list[str]:
    """What the tooltips say."""
    root = ET.fromstring(svg)  # our own text
    titles = [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}title")]
    return titles[1:]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_an_executor_draws_the_events_that_it_ran(kind: str, tmp_path: Path) -> None:
    executor = JobExecutor(store=None if kind == "memory" else f"sqlite:///{tmp_path / 'run.db'}")
    async with executor:
        await executor.append_many([Job(name=f"n{n}") for n in range(5)])
        await executor.append(Job(name="bad", ends="badly"), retry=Retry(attempts=2, backoff=0.0))
        await executor.join()
        picture = executor.timeline("what ran")
        shown = bars(picture.svg)
        assert [text.partition("\n")[0] for text in shown if "completed" in text] == [
            f"n{n}" for n in range(5)
        ]
        assert sum("failed" in text for text in shown) == 1
        assert sum("returned to the queue" in text for text in shown) == 1
        assert picture._repr_svg_() == str(picture) == picture.svg
        assert "characters of SVG" in repr(picture)
        picture.save(str(tmp_path / "run.svg"))
        assert (tmp_path / "run.svg").read_text() == picture.svg
        html = executor._repr_html_()
    assert "a-secret" not in html
    assert "<b>5</b> completed" in html
    assert "<b>1</b> failed" in html
    assert "<svg" in html
    assert "<strong>JobExecutor</strong>" in html


def test_a_picture_is_named_for_its_executor() -> None:
    for executor, named in (
        (JobExecutor(), "JobExecutor"),
        (JobExecutor(name="orders"), "JobExecutor orders"),
    ):
        title = ET.fromstring(executor.timeline().svg)[0].text
        assert title == named
        assert f"<strong>{named}</strong>" in executor._repr_html_()
    assert "executor_states" not in JobExecutor().states._repr_html_()
    assert "orders" in JobExecutor(name="orders").states._repr_html_()


async def test_no_bar_starts_before_its_event_was_created() -> None:
    executor = JobExecutor()
    async with executor:
        events = await executor.append_many([Job(name=str(n)) for n in range(3)])
        await executor.join()
    html = executor.states._repr_html_()  # outside of its loop, or without one, it is the same
    assert html.count("waited") == len(events)
    assert not re.search(r"waited -", html)


def test_texts_are_escaped() -> None:
    flow: Any = Flow([Job(name=EVIL)], name=EVIL)
    html = flow._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_flow_of_other_elements_is_counted_by_class() -> None:
    flow: Any = Flow([Element(), Element()], [Progression(name="p")], name="things")
    html = flow._repr_html_()
    assert "<b>2</b> Element" in html
    assert "<svg" not in html
    assert "0 events" in JobExecutor()._repr_html_()


def test_events_read_from_json_draw_their_recorded_attempts() -> None:
    job = Job(name="old")
    data = job.to_dict("json")
    began = job.created_timestamp + 1.0
    data["execution"] |= {
        "status": "failed",
        "duration": 0.5,
        "attempts": [{"number": 1, "started": began, "duration": 0.5, "error": "ValueError"}],
    }
    flow: Any = Flow([Event.from_dict(data)])
    assert "returned to the queue" in flow._repr_html_()
