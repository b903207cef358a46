"""Texts that a database can keep, and those that it cannot."""

import pytest

from lionpride.errors import ValidationError
from lionpride.rules.limits.limit import Limit
from lionpride.rules.storable_text import check_text, findable


@pytest.mark.parametrize("text", ["", "a", "two\nlines\x1f", "ß日本🦁", "\ufffd"])
def test_what_can_be_kept_is_kept_as_it_is(text: str) -> None:
    check_text("key", text)
    assert findable(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\0b", r"Mail\.key must have no NUL character, .* not 'a\\x00b': leave it out"),
        ("a\ud800", r"Mail\.key must be text that can be encoded, not 'a\\ud800': decode bytes"),
    ],
)
def test_what_cannot_be_is_named_with_its_value_and_the_remedy(text: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        check_text("Mail.key", text)
    findable(text).encode()
    assert "\0" not in findable(text)


def test_a_limit_s_name_and_pool_can_be_kept() -> None:
    with pytest.raises(ValidationError, match=r"Limit\.name .* NUL"):
        Limit("a\0", 1)
    with pytest.raises(ValidationError, match=r"Limit\.pool .* NUL"):
        Limit("a", 1, pool="a\0")
