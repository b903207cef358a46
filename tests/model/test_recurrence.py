"""Rules of recurrence: their instants, also where the clocks change."""

import builtins
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from lionpride import ConfigurationError, Cron, Every, ValidationError
from lionpride.model.recurrence import Rule, rule_from_dict

BERLIN = "Europe/Berlin"
HOUR = 3600.0
DAY = 24 * HOUR


def at(text: str, zone: str = "UTC", fold: int = 0) -> float:
    """Return the instant of a local time."""
    wall = datetime.fromisoformat(text)
    return wall.replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def instants(rule: Rule, start: float) -> Iterator[float]:
    """Yield the instants after a time."""
    following = rule.next_after(start)
    while following is not None:
        yield following
        following = rule.next_after(following)


def shown(rule: Cron, day: str) -> list[str]:
    """Return the local times of the instants of one local day; both directions have the same."""
    zone = ZoneInfo(rule.tz)
    start = datetime.fromisoformat(day).replace(tzinfo=zone)
    first, end = start.timestamp(), (start + timedelta(days=1)).timestamp()
    found = []
    for instant in instants(rule, first - 1):
        if instant >= end:
            break
        found.append(instant)
    assert rule.newest(first, end - 1, 10_000) == found
    return [datetime.fromtimestamp(each, zone).strftime("%H:%M%z") for each in found]


# -- Every -----------------------------------------------------------------------------------------


def test_every_has_a_grid_from_its_anchor() -> None:
    rule = Every(300)
    assert list(islice(instants(rule, 0.0), 3)) == [300.0, 600.0, 900.0]
    assert rule.next_after(299.999999) == 300.0
    anchored = Every(timedelta(days=7), anchor=datetime(2026, 1, 5, 9, tzinfo=UTC))
    assert anchored.next_after(at("2026-03-01T00:00")) == at("2026-03-02T09:00")
    assert anchored.next_after(at("2025-12-30T00:00")) == at("2026-01-05T09:00")


PERIODS = st.floats(1, 1e6) | st.integers(1, 100_000).map(float)
TIMES = st.floats(-1e9, 4e9)


@given(seconds=PERIODS, anchor=TIMES, start=TIMES)
def test_the_instants_of_every_increase_and_none_is_left_out(
    seconds: float, anchor: float, start: float
) -> None:
    rule = Every(seconds, anchor=anchor)
    found = list(islice(instants(rule, start), 20))
    assert start < found[0] <= start + seconds + 2e-6
    for one, two in pairwise(found):
        assert two - one == pytest.approx(seconds, abs=2e-6)


@given(seconds=PERIODS, anchor=TIMES, start=TIMES, late=st.lists(st.floats(0, 1), max_size=8))
def test_late_ticks_do_not_shift_the_grid(
    seconds: float, anchor: float, start: float, late: list[float]
) -> None:
    rule = Every(seconds, anchor=anchor)
    now = start
    for share in late:
        following = rule.next_after(now)
        assert following is not None
        now = following + share * (seconds - 1e-3) * 0.99
    expected = list(islice(instants(rule, start), len(late) + 1))[-1]
    assert rule.next_after(now) == expected


@given(seconds=PERIODS, anchor=TIMES, start=TIMES, limit=st.integers(0, 30))
def test_the_newest_instants_of_every_are_the_last_ones(
    seconds: float, anchor: float, start: float, limit: int
) -> None:
    rule = Every(seconds, anchor=anchor)
    found = list(islice(instants(rule, start), 20))
    assert rule.newest(found[0], found[-1], limit) == (found[-limit:] if limit else [])
    assert rule.newest(found[0] + 1e-5, found[-1] - 1e-5, 30) == found[1:-1]


def test_a_range_of_a_thousand_years_costs_no_more_than_its_newest_instants() -> None:
    end = at("3026-01-01T00:00")
    assert Every(1).newest(0.0, end, 2) == [end - 1, end]
    assert Cron("* * * * * *").newest(0.0, end, 2) == [end - 1, end]


# -- Cron ------------------------------------------------------------------------------------------


def test_cron_has_the_times_of_day_of_its_zone() -> None:
    rule = Cron("30 2 * * *", tz=BERLIN)
    assert shown(rule, "2026-01-15") == ["02:30+0100"]
    assert shown(rule, "2026-07-15") == ["02:30+0200"]
    assert Cron("30 2 * * *").next_after(0.0) == 2.5 * HOUR
    assert list(islice(instants(Cron("0 9 * * mon-fri"), at("2026-01-02T10:00")), 2)) == [
        at("2026-01-05T09:00"),
        at("2026-01-06T09:00"),
    ]
    assert Cron("0 0 L * *").next_after(at("2028-02-01T00:00")) == at("2028-02-29T00:00")
    assert Cron("*/20 * * * * *").next_after(5.0) == 20.0


SPRING, AUTUMN = "2026-03-29", "2026-10-25"
CHANGES: list[tuple[str, list[str], list[str]]] = [
    ("30 2 * * *", ["03:00+0200"], ["02:30+0200"]),
    ("0 30 2 * * *", ["03:00+0200"], ["02:30+0200"]),
    ("0,30 2,3 * * *", ["03:00+0200", "03:30+0200"], [
        "02:00+0200", "02:30+0200", "03:00+0100", "03:30+0100"]),
    ("*/15 2 * * *", [], [
        f"02:{minute}{offset}"
        for offset in ("+0200", "+0100")
        for minute in ("00", "15", "30", "45")]),
    ("30 */2 * * *",
        [f"{hour:02}:30+0{1 if hour < 2 else 2}00" for hour in range(0, 24, 2) if hour != 2],
        ["00:30+0200", "02:30+0200", "02:30+0100"]
        + [f"{hour:02}:30+0100" for hour in range(4, 24, 2)]),
    ("0 * * * *",
        [f"{hour:02}:00+0{1 if hour < 2 else 2}00" for hour in range(24) if hour != 2],
        [f"{hour:02}:00+0200" for hour in range(3)]
        + [f"{hour:02}:00+0100" for hour in range(2, 24)]),
]  # fmt: skip
"""An expression, and its times in Berlin on the days when the clocks are changed."""


@pytest.mark.parametrize(("expression", "spring", "autumn"), CHANGES)
def test_the_clocks_change_in_berlin(expression: str, spring: list[str], autumn: list[str]) -> None:
    rule = Cron(expression, tz=BERLIN)
    assert shown(rule, SPRING) == spring
    assert shown(rule, AUTUMN) == autumn


def test_a_minute_rule_runs_each_minute_while_the_clocks_change() -> None:
    for day in (SPRING, AUTUMN):
        start = at(f"{day}T00:00", BERLIN)
        found = list(islice(instants(Cron("* * * * *", tz=BERLIN), start), 300))
        assert found == [start + 60.0 * number for number in range(1, 301)]


def test_the_hour_that_is_repeated_has_no_second_firing() -> None:
    """In the second of two hours that have the same name, the next instant is tomorrow."""
    rule = Cron("30 2 * * *", tz=BERLIN)
    first, tomorrow = at(f"{AUTUMN}T02:30", BERLIN), at("2026-10-26T02:30", BERLIN)
    for minute in range(120):
        now = first + 60.0 * minute
        assert rule.next_after(now) == tomorrow
        assert rule.newest(first - HOUR, now, 5) == [first]
        assert rule.newest(first + 1, now, 5) == []


def test_a_clock_may_be_changed_at_midnight_and_by_half_an_hour() -> None:
    assert shown(Cron("*/30 0 * * *", tz="Africa/Cairo"), "2026-04-24") == []
    assert shown(Cron("30 0 * * *", tz="Africa/Cairo"), "2026-04-24") == ["01:00+0300"]
    lord_howe = "Australia/Lord_Howe"
    assert shown(Cron("*/15 1 * * *", tz=lord_howe), "2026-04-05") == [
        *("01:00+1100", "01:15+1100", "01:30+1100", "01:45+1100"),
        *("01:30+1030", "01:45+1030"),
    ]
    assert shown(Cron("*/15 2 * * *", tz=lord_howe), "2026-04-05") == [
        f"02:{minute}+1030" for minute in ("00", "15", "30", "45")
    ]
    assert shown(Cron("*/15 2 * * *", tz=lord_howe), "2026-10-04") == ["02:30+1100", "02:45+1100"]


def test_a_day_that_a_zone_leaves_out() -> None:
    """Samoa went from 29 to 31 December 2011."""
    apia = "Pacific/Apia"
    found = instants(Cron("0 12 * * *", tz=apia), at("2011-12-28T13:00", apia))
    texts = [datetime.fromtimestamp(each, ZoneInfo(apia)).isoformat() for each in islice(found, 3)]
    assert texts == [
        "2011-12-29T12:00:00-10:00",
        "2011-12-31T00:00:00+14:00",
        "2011-12-31T12:00:00+14:00",
    ]


ZONES = st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "UTC"])
STARTS = st.integers(int(at("2026-01-01T00:00")), int(at("2027-12-31T00:00"))) | st.builds(
    lambda change, offset: int(change) + offset,
    st.sampled_from(
        [
            at("2026-03-29T01:00"),  # Berlin
            at("2026-10-25T01:00"),
            at("2026-03-08T07:00"),  # New York
            at("2026-11-01T06:00"),
            at("2026-04-04T15:00"),  # Lord Howe
            at("2026-10-03T15:30"),
            at("2026-04-23T22:00"),  # Cairo
            at("2026-10-29T21:00"),
        ]
    ),
    st.integers(-5 * 3600, 5 * 3600),
)
MINUTES = st.sampled_from(["*", "*/7", "*/30", "0", "30", "5,35", "10-20", "59"])
HOURS = st.sampled_from(["*", "*/2", "*/5", "0", "1", "2", "1,2,3", "0-3", "23"])
DAYS = st.sampled_from(["* * *", "* * *", "* * sun", "29 * *", "L 3,10 *"])
EXPRESSIONS = st.builds(lambda *parts: " ".join(parts), MINUTES, HOURS, DAYS)


@settings(deadline=None)
@given(expression=EXPRESSIONS, zone=ZONES, start=STARTS)
def test_the_instants_of_cron_are_what_the_clock_shows(
    expression: str, zone: str, start: int
) -> None:
    """A slow model, minute by minute: which instants of ten hours match the expression."""
    first = start // 60 * 60
    last, minute = first + 36_000, timedelta(minutes=1)
    begin = datetime.fromtimestamp(first, UTC).replace(tzinfo=None) - timedelta(days=1)
    names = set(takewhile((begin + timedelta(days=3)).__gt__, CronSim(expression, begin)))
    is_fixed = not any(field.startswith("*") for field in expression.split()[:2])
    before = datetime.fromtimestamp(first - 60, ZoneInfo(zone))
    expected = []
    for instant in range(first, last + 1, 60):
        local = datetime.fromtimestamp(instant, ZoneInfo(zone))
        wall = local.replace(tzinfo=None)
        gap = (local.utcoffset() - before.utcoffset()) // minute
        skipped = {wall - (step + 1) * minute for step in range(gap)}
        if is_fixed and not local.fold and names & {wall, *skipped}:
            expected.append(float(instant))
        if not is_fixed and wall in names:
            expected.append(float(instant))
        before = local
    rule = Cron(expression, tz=zone)
    assert rule.newest(first, last, 1000) == expected
    found = []
    for instant in instants(rule, first - 1):
        if instant > last:
            break
        found.append(instant)
    assert found == expected


@settings(deadline=None)
@given(expression=EXPRESSIONS, zone=ZONES, start=STARTS, limit=st.integers(0, 12))
def test_the_newest_instants_of_cron_are_the_last_ones(
    expression: str, zone: str, start: int, limit: int
) -> None:
    rule = Cron(expression, tz=zone)
    found = list(islice(instants(rule, start + 0.5), 12))
    assert all(one < two for one, two in pairwise(found))
    assert rule.newest(found[0], found[-1], limit) == (found[-limit:] if limit else [])
    assert rule.newest(found[0] + 0.5, found[-1] - 0.5, 12) == found[1:-1]
    assert rule.newest(found[0] + 0.25, found[-1] + 0.25, 12) == found[1:]


def test_a_rule_that_has_no_more_instants() -> None:
    rule = Cron("0 0 29 2 *")
    assert rule.next_after(at("2026-01-01T00:00")) == at("2028-02-29T00:00")
    assert rule.next_after(at("9996-02-29T00:00")) is None


# -- values ----------------------------------------------------------------------------------------

RULES: list[tuple[Rule, str, dict[str, Any]]] = [
    (Every(300), "Every(300.0)", {"every": 300.0, "anchor": 0.0}),
    (
        Every(timedelta(minutes=5), anchor=7),
        "Every(300.0, anchor=7.0)",
        {"every": 300.0, "anchor": 7.0},
    ),
    (Cron("0 9  * * MON"), "Cron('0 9 * * MON')", {"cron": "0 9 * * MON", "tz": "UTC"}),
    (
        Cron("30 2 * * *", tz=BERLIN),
        "Cron('30 2 * * *', tz='Europe/Berlin')",
        {"cron": "30 2 * * *", "tz": BERLIN},
    ),
]


@pytest.mark.parametrize(("rule", "text", "data"), RULES)
def test_a_rule_is_a_value(rule: Rule, text: str, data: dict[str, Any]) -> None:
    assert repr(rule) == text
    assert rule.to_dict() == data
    same = rule_from_dict(data)
    assert same == rule
    assert hash(same) == hash(rule)
    assert eval(text) == rule


def test_rules_with_other_values_are_not_equal() -> None:
    assert len({rule for rule, _, _ in RULES}) == len(RULES)


@pytest.mark.parametrize("seconds", [0, 0.5, -1, float("nan"), float("inf"), True, "300", 10**400])
def test_a_period_has_bounds(seconds: Any) -> None:
    with pytest.raises(ValidationError, match=r"Every: seconds must be .*, not .*: append"):
        Every(seconds)


@pytest.mark.parametrize("anchor", [float("nan"), float("inf"), 1e300, None, True, "2026-01-01"])
def test_an_anchor_is_an_instant(anchor: Any) -> None:
    with pytest.raises(ValidationError, match=r"Every: anchor must be a datetime with a time zone"):
        Every(300, anchor=anchor)


def test_an_anchor_has_a_time_zone() -> None:
    with pytest.raises(ValidationError, match=r"Every: anchor must have a time zone"):
        Every(300, anchor=datetime(2026, 1, 1))


@pytest.mark.parametrize(
    "expression",
    ["", "30 2 * *", "61 * * * *", "a b c d e", "@daily", "* * * * * * *", "5-1 * * * *"],
)
def test_an_expression_that_is_none(expression: str) -> None:
    with pytest.raises(ValidationError, match=r"is no cron expression .* write minute, hour"):
        Cron(expression)


def test_an_expression_without_instants() -> None:
    with pytest.raises(ValidationError, match="is no cron expression"):
        Cron("0 0 30 2 *")
    with pytest.raises(ValidationError, match="has no instant: check day and month"):
        Cron("0 0 */31 * mon#2")  # a second Monday that is the first of its month


@pytest.mark.parametrize("tz", ["Berlin", "", "Europe", "../etc/passwd", "Europe/Berlin\0", "/UTC"])
def test_a_zone_that_is_none(tz: str) -> None:
    with pytest.raises(ValidationError, match="is no time zone: give a name of the IANA database"):
        Cron("0 0 * * *", tz=tz)


def test_texts_are_wanted() -> None:
    with pytest.raises(ValidationError, match="Cron: expression must be a text, not 5"):
        Cron(5)
    with pytest.raises(ValidationError, match="Cron: tz must be a text, not None"):
        Cron("0 0 * * *", tz=None)


@pytest.mark.parametrize("data", [None, {}, [300], {"every": 0}, {"every": "x"}, {"cron": None}])
def test_data_that_is_no_rule(data: Any) -> None:
    with pytest.raises(ValidationError):
        rule_from_dict(data)


def test_the_error_without_cronsim_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *arguments: Any, **how: Any) -> Any:
        if name == "cronsim":
            raise ImportError("No module named 'cronsim'", name="cronsim")
        return original(name, *arguments, **how)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigurationError, match=r"pip install 'lionpride-core\[cron\]'"):
        Cron("0 0 * * *")
    assert Every(300).next_after(0.0) == 300.0


def test_the_library_of_cron_is_imported_late() -> None:
    code = "import sys, lionpride; lionpride.Every(300); sys.exit('cronsim' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_stored_rule_is_checked_at_its_first_use() -> None:
    rule = rule_from_dict({"cron": "x"})
    assert rule.to_dict() == {"cron": "x", "tz": "UTC"}
    with pytest.raises(ValidationError):
        rule.next_after(0.0)
