"""The time range of the timeline."""

import pytest
from web.asgi import client
from web.kit import Job, JobExecutor

from lionpride import web
from lionpride.web.time_range import TimeRange


def test_the_range_follows_the_time_until_it_is_zoomed() -> None:
    shown = TimeRange.of({"last": "1m"}, 1000.0)
    assert (shown.begin, shown.end, shown.last) == (940.0, 1000.0, "1m")
    near = TimeRange.of(shown.zoomed(0.5), 5000.0)
    assert (near.begin, near.end, near.last) == (970.0, 1000.0, "")
    nearer = TimeRange.of(near.zoomed(0.5), 5000.0)
    assert (nearer.begin, nearer.end) == (977.5, 992.5)
    later = TimeRange.of(nearer.moved(0.5), 5000.0)
    assert (later.begin, later.end) == (985.0, 1000.0)


@pytest.mark.parametrize(
    "query",
    [{}, {"last": "9y"}, {"from": "1"}, {"from": "2", "to": "1"}, {"from": "nan", "to": "3"}],
)
def test_an_invalid_range_is_the_last_five_minutes(query: dict[str, str]) -> None:
    assert TimeRange.of(query, 1000.0) == TimeRange(700.0, 1000.0, "5m")


def test_the_length_of_a_range_has_bounds() -> None:
    assert TimeRange.of(TimeRange(0.0, 0.02).zoomed(0.001), 9.0).length == pytest.approx(0.01)
    assert TimeRange.of(TimeRange(0.0, 800.0).zoomed(8), 9.0).length == pytest.approx(900.0)


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("begin", "end"),
    [(1e12, 1e12 + 60), (1e17, 1e17 + 64), (-1e12, -1e12 + 60), (-1e17, -1e17 + 64),
     (NOW + 5e3, NOW + 5060)],
)  # fmt: skip
def test_a_range_without_possible_events_is_moved(begin: float, end: float) -> None:
    shown = TimeRange.of({"from": str(begin), "to": str(end)}, NOW)
    assert shown.length == pytest.approx(end - begin)
    assert 0.0 <= shown.begin <= NOW


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
    executor = JobExecutor()
    async with executor:
        await executor.append(Job())
        await executor.join()
        async with client(web.app(executor)) as http:
            assert (await http.get("/timeline", params=query)).status_code == 200
