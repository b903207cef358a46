"""Names that an element keeps for itself; what an event adds is in test_work.py."""

from typing import Any

import pytest

from lionpride.core import Element, Flow, Progression
from lionpride.errors import ConfigurationError, OperationError


@pytest.mark.parametrize("base", [Element, Progression, Flow])
@pytest.mark.parametrize("name", ["_created", "_metadata"])
def test_a_class_with_an_entry_of_ours_is_refused(base: type[Element], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Mine.{name}"):
        type("Mine", (base,), {"__module__": __name__, name: None})


def test_a_class_variable_does_not_make_it_better() -> None:
    body: dict[str, Any] = {"__annotations__": {"_created": "ClassVar[int]"}, "_created": 1}
    with pytest.raises(ConfigurationError, match=r"Mine\._created"):
        type("Mine", (Element,), {"__module__": __name__, **body})


def test_an_entry_of_ours_is_not_set() -> None:
    element = Element()
    made = element.created_at
    with pytest.raises(OperationError, match="_created_"):
        element._created = 0.0  # type: ignore[attr-defined]
    assert Element(created_at=made).created_timestamp == pytest.approx(element.created_timestamp)
    element.metadata = {"a": 1}
    assert element.metadata == {"a": 1}
