"""The stretch of time of the timeline."""

import pytest

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
