"""Texts and values of a record."""

import pytest

from lionpride.view.records import created_of


@pytest.mark.parametrize(
    "value", ["2020-01-02T03:04:05+00:00", "2020-01-02T03:04:05", 1577934245, 1577934245.0]
)
def test_the_time_of_creation_is_read_from_text_and_numbers(value):
    assert created_of({"created_at": value}).isoformat() == "2020-01-02T03:04:05+00:00"
