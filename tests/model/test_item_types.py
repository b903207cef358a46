"""Kinds: which classes a pile takes."""

from typing import Any, Union

import pytest

from lionpride.errors import NotFoundError, ValidationError
from lionpride.model.collections.item_types import check_kind, kind_of, kinds_of, names_of
from lionpride.model.element import Element
from lionpride.model.registry import key_of


class Card(Element):
    """A card."""


class Ace(Card):
    """A special card."""


class Joker(Element):
    """No card at all."""


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        (Card, {Card}),
        (Card | Joker, {Card, Joker}),
        (Union[Card, Joker], {Card, Joker}),  # noqa: UP007  (the old spelling is the case)
        ([Card, Joker | Ace], {Card, Joker, Ace}),
        ((Card, Card), {Card}),
        ({Card}, {Card}),
        (frozenset([Card]), {Card}),
        (key_of(Card), {Card}),
        ([key_of(Card), Joker], {Card, Joker}),
        ("lionpride.core.element.Element", {Element}),
        ([], set()),
    ],
)
def test_kinds_of_one_or_several(given, kinds):
    assert kinds_of(given) == kinds


@pytest.mark.parametrize("given", [int, 5, None, Card(), [int], Card | None, {Card: 1}, list[Card]])
def test_only_classes_of_elements(given):
    with pytest.raises(ValidationError, match="item_type takes subclasses of Element"):
        kinds_of(given)


def test_a_class_that_is_not_defined():
    with pytest.raises(NotFoundError):
        kinds_of(["no.such.Class"])


@pytest.mark.parametrize(
    ("kind", "allowed", "strict", "fine"),
    [
        (Joker, None, True, True),
        (Card, {Card}, True, True),
        (Ace, {Card}, False, True),
        (Ace, {Card}, True, False),
        (Card, {Ace}, False, False),
        (Joker, {Card, Joker}, True, True),
        (Card, set(), False, False),
    ],
)
def test_check_kind(kind, allowed, strict, fine):
    if fine:
        check_kind(kind, allowed, strict)
    else:
        with pytest.raises(TypeError, match=f"the pile takes .*, not {kind.__name__}"):
            check_kind(kind, allowed, strict)


@pytest.mark.parametrize(
    ("data", "meta_key"),
    [
        ({"metadata": {"lion_class": key_of(Card)}}, None),
        ({"node_metadata": {"lion_class": key_of(Card)}}, None),
        ({"m": {"lion_class": key_of(Card)}, "metadata": {}}, "m"),
    ],
)
def test_kind_of_data(data: dict[str, Any], meta_key: str | None):
    assert kind_of(data, meta_key) is Card


@pytest.mark.parametrize("data", [{}, {"metadata": None}, {"metadata": {"k": 1}}, {"metadata": 5}])
def test_data_without_a_class_is_an_element(data):
    assert kind_of(data) is Element


def test_names_in_words():
    assert names_of({Joker, Card}) == "Card or Joker"
    assert names_of(set()) == "nothing"
