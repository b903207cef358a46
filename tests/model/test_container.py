"""Container: contents beside the fields, in every dump."""

import json
from typing import Any, ClassVar, Generic, Self, TypeVar

import pytest

from lionpride.model.collections.container import Container
from lionpride.model.collections.progression import Progression
from lionpride.model.element import Element

T = TypeVar("T")


class Bag(Container):
    """Holds two heaps of elements."""

    _contained: ClassVar[tuple[str, ...]] = ("left", "right")

    label: Any = None

    def heaps(self) -> dict[str, list[Element]]:
        return self.__dict__.setdefault("_heaps", {"left": [], "right": []})

    def _content(self, name: str, mode: Any, how: dict[str, Any]) -> Any:
        return [each.to_dict(mode, **how) for each in self.heaps()[name]]

    @classmethod
    def _from_data(cls, data: dict[str, Any], kwargs: dict[str, Any]) -> Self:
        heaps = {name: data.pop(name, []) for name in cls._contained}
        bag = super()._from_data(data, kwargs)
        for name, heap in heaps.items():
            bag.heaps()[name].extend(Element.from_dict(each) for each in heap)
        return bag


class Pebble(Element):
    mark: Any = None


def full() -> Bag:
    bag = Bag(label="b")
    bag.heaps()["left"].append(Pebble(mark=b"\x00"))
    bag.heaps()["right"].extend([Pebble(mark={"$bytes": 1}), Pebble()])
    return bag


def marks(bag: Any) -> dict[str, list[Any]]:
    return {name: [each.mark for each in heap] for name, heap in bag.heaps().items()}


KEYS = ["id", "created_at", "metadata", "label", "left", "right"]


def test_contents_stand_behind_the_fields():
    bag = full()
    assert list(bag.to_dict()) == list(bag.to_dict("json")) == list(bag.model_dump()) == KEYS
    assert list(json.loads(Bag().model_dump_json())) == KEYS


@pytest.mark.parametrize(
    ("how", "keys"),
    [
        ({"include": {"left", "id"}}, {"left", "id"}),
        ({"exclude": {"left", "id"}}, {*KEYS} - {"left", "id"}),
        ({"exclude": ["left"]}, {*KEYS} - {"left"}),
        ({"exclude": {"left": True}}, {*KEYS} - {"left"}),
        ({"include": {"label", "left"}, "exclude": {"left"}}, {"label"}),
    ],
)
def test_include_and_exclude(how, keys):
    assert set(full().to_dict(**how)) == keys
    if not isinstance(how.get("exclude"), list):
        assert set(full().model_dump(**how)) == keys


@pytest.mark.parametrize("mode", ["python", "json", "db"])
@pytest.mark.parametrize("label", ["b", b"b", {"$x": {"$y": 1}}])
def test_tags_are_resolved_once_inside_and_outside(mode, label):
    bag = full()
    bag.label = label
    data = bag.to_dict(mode)
    again = Element.from_dict(json.loads(json.dumps(data)) if mode == "json" else data)
    assert type(again) is Bag
    assert again.label == label
    assert marks(again) == marks(bag) == {"left": [b"\x00"], "right": [{"$bytes": 1}, None]}


def test_what_is_inside_is_json_in_db_mode():
    data = full().to_dict("db")
    assert not isinstance(data["created_at"], str)
    json.dumps([data["left"], data["right"]])


def test_the_elements_inside_are_written_as_asked():
    data = full().to_dict(
        "json", meta_key="m", item_meta_key="i", item_created_at_format="timestamp"
    )
    assert "lion_class" in data["m"]
    assert "lion_class" in data["left"][0]["i"]
    assert isinstance(data["left"][0]["created_at"], float)
    assert isinstance(data["created_at"], str)


def test_text_is_the_repr():
    bag = Bag()
    assert str(bag) == repr(bag)


def test_contents_are_given_by_the_subclass():
    class Bare(Container):
        _contained: ClassVar[tuple[str, ...]] = ("what",)

    with pytest.raises(NotImplementedError):
        Bare().to_dict()


class Crate(Container, Generic[T]):
    """A generic container."""


class Special(Crate[T], Generic[T]):
    """A generic subclass of it."""


def test_parameters_leave_a_generic_class_as_it_is():
    assert Crate[int] is Crate
    assert Special[Pebble] is Special
    with pytest.raises(TypeError):
        Progression[int]
