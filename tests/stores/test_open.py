"""A store from what a user gives."""

import pytest

from lionpride.errors import ConfigurationError
from lionpride.stores.memory import MemoryStore
from lionpride.stores.open import open_store


@pytest.mark.parametrize("given", [None, "memory://"])
def test_nothing_is_memory(given: str | None) -> None:
    store = open_store(given, queue="q", name="n")
    assert (store.queue, store.states.name) == ("q", "n")


def test_a_store_is_taken_as_it_is() -> None:
    store = MemoryStore()
    assert open_store(store, queue="q", name="n") is store


@pytest.mark.parametrize("url", ["mysql:///run.db", "postgresql://host/db", "nonsense"])
def test_what_there_is_no_store_for_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigurationError, match=url):
        open_store(url, queue="q", name="n")
