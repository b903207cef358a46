"""Filters and places, as URLs have them."""

from time import time
from urllib.parse import parse_qsl

import pytest

from lionpride.core import EventStatus
from lionpride.web.asked import ListFilter, link, number


def test_a_url_and_its_filters_are_one() -> None:
    query = {"queue": "a", "status": "failed", "kind": "m.K", "since": "1h", "q": "no & way"}
    asked = ListFilter.of(query)
    assert asked.query() == query
    assert ListFilter.of(dict(parse_qsl(link("", "events", asked.query())[8:]))) == asked
    assert asked.query(before=7) == query | {"before": "7"}
    what = asked.sought
    assert (what.status, what.kind, what.text) == (EventStatus.FAILED, "m.K", "no & way")
    assert what.since == pytest.approx(time() - 3600, abs=60)
    assert (
        asked.words() == "failed, of m.K, in queue a, created in the last 1h, matching “no & way”"
    )


def test_nonsense_is_left_out() -> None:
    query = {"status": "strange", "since": "yesterday", "before": "-1", "after": "1e3", "q": " "}
    assert ListFilter.of(query) == ListFilter()
    assert not ListFilter.of(query).has_filters
    assert ListFilter.of({"before": "9" * 30}).before is None
    assert [number(each) for each in ("1.5", "nan", "x", None)] == [1.5, None, None, None]
