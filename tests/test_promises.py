"""Each promise of the documents has a test that carries it, and the documents' tables say so."""

from collections import Counter

import pytest
from documents import ROOT

from tools import promises

CARRIED = promises.carried()
DOCUMENTS = [path.relative_to(ROOT).as_posix() for path in promises.documents()]
NAMES = [name for rows in promises.promises().values() for name in rows]


def test_each_promise_has_a_name_of_its_own() -> None:
    assert not [name for name, times in Counter(NAMES).items() if times > 1]


def test_each_promise_has_a_test() -> None:
    assert not set(NAMES) - {each.promise for each in CARRIED}, "mark a test that shows it"


def test_each_marker_names_a_promise() -> None:
    unknown = [each for each in CARRIED if each.promise not in NAMES]
    assert not unknown, "docs/promises.toml lists the promises"


def test_each_list_is_a_table_of_one_document() -> None:
    texts = [(ROOT / document).read_text(encoding="utf-8") for document in DOCUMENTS]
    begins = {name: f"<!-- promises: {name} -->" for name in promises.promises()}
    assert {name: sum(text.count(begin) for text in texts) for name, begin in begins.items()} == (
        dict.fromkeys(begins, 1)
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_tables_are_up_to_date(document: str) -> None:
    path = ROOT / document
    should = promises.written(path, promises.files_by_promise())
    assert path.read_text(encoding="utf-8") == should, "run `make promises`"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param("@pytest.mark.promise()\ndef test_one(): ...", id="no name"),
        pytest.param("@pytest.mark.promise(NAME)\ndef test_one(): ...", id="no literal"),
        pytest.param("@pytest.mark.promise('a')\ndef helper(): ...", id="no test"),
        pytest.param("@pytest.mark.promise('a')\nclass TestAll: ...", id="a class"),
    ],
)
def test_a_marker_that_cannot_be_read_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match="literal"):
        list(promises.carried_in(wrong, "tests/test_wrong.py"))
