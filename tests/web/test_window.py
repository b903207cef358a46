"""The stretch of time of the timeline."""

import pytest
from web.asgi import client
from web.kit import Desk, Job

from lionpride import web
from lionpride.web.window import Window


def test_it_follows_the_time_until_it_is_zoomed() -> None:
    window = Window.of({"last": "1m"}, 1000.0)
    assert (window.begin, window.end, window.last) == (940.0, 1000.0, "1m")
    near = Window.of(window.zoomed(0.5), 5000.0)
    assert (near.begin, near.end, near.last) == (970.0, 1000.0, "")
    nearer = Window.of(near.zoomed(0.5), 5000.0)
    assert (nearer.begin, nearer.end) == (977.5, 992.5)
    later = Window.of(nearer.moved(0.5), 5000.0)
    assert (later.begin, later.end) == (985.0, 1000.0)


@pytest.mark.parametrize(
    "query",
    [{}, {"last": "9y"}, {"from": "1"}, {"from": "2", "to": "1"}, {"from": "nan", "to": "3"}],
)
def test_nonsense_is_the_last_five_minutes(query: dict[str, str]) -> None:
    assert Window.of(query, 1000.0) == Window(700.0, 1000.0, "5m")


def test_there_is_a_nearest_and_a_farthest() -> None:
    assert Window.of(Window(0.0, 0.02).zoomed(0.001), 9.0).length == pytest.approx(0.01)
    assert Window.of(Window(0.0, 800.0).zoomed(8), 9.0).length == pytest.approx(900.0)


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("begin", "end"),
    [(1e12, 1e12 + 60), (1e17, 1e17 + 64), (-1e12, -1e12 + 60), (-1e17, -1e17 + 64),
     (NOW + 5e3, NOW + 5060)],
)  # fmt: skip
def test_a_window_is_moved_to_where_events_can_be(begin: float, end: float) -> None:
    window = Window.of({"from": str(begin), "to": str(end)}, NOW)
    assert window.length == pytest.approx(end - begin)
    assert 0.0 <= window.begin <= NOW


@pytest.mark.parametrize(
    "query",
    [
        {"from": "1e12", "to": "1000000000060"},
        {"from": "1e12"},
        {"from": "1e17", "to": "1e17"},
        {"from": "100000000000000000", "to": "100000000000000064"},
        {"from": "-1e12", "to": "-999999999940"},
        {"from": "-62135596800", "to": "-62135596740"},
        {"from": "nan", "to": "nan"},
        {"from": "inf", "to": "inf"},
        {"from": "-inf", "to": "1e400"},
        {"from": "1e400", "to": "1e400"},
        {"from": "-1e308", "to": "1e308"},
        {"from": "0", "to": "60"},
    ],
)
async def test_a_timeline_of_any_time_is_shown(query: dict[str, str]) -> None:
    desk = Desk()
    async with desk:
        await desk.append(Job())
        await desk.join()
        async with client(web.app(desk)) as http:
            assert (await http.get("/timeline", params=query)).status_code == 200
