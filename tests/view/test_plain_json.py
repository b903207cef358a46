"""Recorded values as plain JSON."""

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import inf
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from lionpride.core import Unset
from lionpride.errors import ExecutionError
from lionpride.model.serialization.codec import encode
from lionpride.view.plain_json import plain_json


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (
            datetime(2025, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Paris"), fold=1),
            "2025-10-26T02:30:00+01:00",
        ),
        (date(2026, 1, 2), "2026-01-02"),
        (time(1, 2), "01:02:00"),
        (timedelta(seconds=90), "PT1M30S"),
        ((1, (2, "a")), [1, [2, "a"]]),
        ({3}, [3]),
        (b"\x00", "AA=="),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.50"), "1.50"),
        (1 - 2j, "1.0-2.0j"),
        (inf, "inf"),
        (Unset, None),
        (2**70, 2**70),
        (SecretStr("s"), "s"),
        ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "null": "b", "[1, 2]": "c"}),
        ({1: "a", "1": "b"}, [[1, "a"], ["1", "b"]]),
        ({"$tuple": [1]}, {"$tuple": [1]}),
        ({"a": {"$x": (1,)}}, {"a": {"$x": [1]}}),
        (ExecutionError("no"), {"error": "ExecutionError", "message": "no"}),
    ],
)
def test_each_type_has_a_plain_form(value: Any, plain: Any) -> None:
    found = plain_json(encode(value))
    if isinstance(value, ExecutionError):
        found = {name: found[name] for name in plain}
    assert found == plain
    json.dumps(found, allow_nan=False)


def test_a_very_large_integer_can_be_written() -> None:
    json.dumps(plain_json(encode(10**5000)))


@pytest.mark.parametrize(
    "data",
    [{"$tuple": 1}, {"$dict": [1]}, {"$dict": None}, {"$int": "x"}, {"$timedelta": "a"},
     {"$repr": {}}, {"$complex": [1]}, {"$later": 1}],
)  # fmt: skip
def test_data_that_only_looks_like_a_tag_stays_as_it_is(data: Any) -> None:
    assert plain_json(data) == data
