"""Filters and positions in the list, as query parameters."""

from time import time
from urllib.parse import parse_qsl

import pytest

from lionpride.core import EventStatus
from lionpride.web.query_params import ListFilter, link, number


def test_filters_survive_a_round_trip_through_a_url() -> None:
    query = {"queue": "a", "status": "failed", "kind": "m.K", "since": "1h", "q": "no & way"}
    filters = ListFilter.of(query)
    assert filters.query() == query
    assert ListFilter.of(dict(parse_qsl(link("", "events", filters.query())[8:]))) == filters
    assert filters.query(before=7) == query | {"before": "7"}
    what = filters.event_filter
    assert (what.status, what.kind, what.text) == (EventStatus.FAILED, "m.K", "no & way")
    assert what.since == pytest.approx(time() - 3600, abs=60)
    assert (
        filters.words() == "failed, of m.K, in queue a, created in the last 1h, matching “no & way”"
    )


def test_invalid_query_parameters_are_ignored() -> None:
    query = {"status": "strange", "since": "yesterday", "before": "-1", "after": "1e3", "q": " "}
    assert ListFilter.of(query) == ListFilter()
    assert not ListFilter.of(query).has_filters
    assert ListFilter.of({"before": "9" * 30}).before is None
    assert [number(each) for each in ("1.5", "nan", "x", None)] == [1.5, None, None, None]
