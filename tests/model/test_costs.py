"""What an event may say that it costs."""

from typing import Any

import pytest

from lionpride.errors import ValidationError
from lionpride.model.costs import REQUEST, check_costs


@pytest.mark.parametrize("fine", [{}, REQUEST, {"tokens": 0}, {"requests": 1, "tokens": 2.5}])
def test_amounts_by_name(fine: Any) -> None:
    check_costs("costs", fine)


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (3, "mapping"),
        (None, "mapping"),
        ({1: 1}, "text"),
        ({"tokens": -1}, "tokens"),
        ({"tokens": True}, "tokens"),
        ({"tokens": "5"}, "tokens"),
        ({"tokens": None}, "tokens"),
        ({"tokens": float("nan")}, "tokens"),
        ({"tokens": float("inf")}, "tokens"),
    ],
)
def test_anything_else_is_refused_by_name(wrong: Any, names: str) -> None:
    with pytest.raises(ValidationError, match=names):
        check_costs("costs", wrong)


def test_a_default_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        REQUEST["requests"] = 5  # type: ignore[index]
