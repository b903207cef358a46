"""What was appended is claimed with the same values, whatever its class; or it is refused.

A store in memory claims the object that was appended. Over the others it is another process that
claims, here another store over the same tables.
"""

from typing import Any

import pytest
from grammar import events, seen
from hypothesis import given, settings
from hypothesis import strategies as st
from stores.homes import Home
from stores.makers import STORES, Clock, Folder, postgres_in, sqlite_in

from lionpride.core import Event
from lionpride.errors import ValidationError
from lionpride.stores.contract import Store


def pair(kind: str) -> tuple[Store, Store]:
    """A store that is given events, and the one that claims them."""
    clock = Clock()
    if kind == "sqlite":
        folder = Folder()
        return sqlite_in(folder, clock), sqlite_in(folder, clock)
    if kind == "postgres":
        home = Home()
        return postgres_in(home, clock), postgres_in(home, clock)
    store = STORES[kind](clock)
    return store, store


async def append(store: Store, event: Any) -> bool:
    """Append an event; return False if it is refused, with the name of a field and a remedy."""
    try:
        await store.append([(event, 0.0)])
    except ValidationError as error:
        text = str(error)
        assert any(name in text for name in type(event).model_fields)
        assert "declare" in text or "exclude" in text or "validators" in text
        assert await store.get([event.id]) == [None]
        return False
    return True


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("kind", STORES)
@settings(max_examples=25)
@given(st.lists(events(), min_size=8, max_size=8))
async def test_d3_what_was_appended_is_claimed_with_the_same_values(
    kind: str, drawn: list[Event]
) -> None:
    producer, worker = pair(kind)
    try:
        before = {event.id: seen(event) for event in drawn}
        taken = [event for event in drawn if await append(producer, event)]
        claims, _ = await worker.claim("worker", len(drawn), start=True)
        assert {event.id for event, _ in claims} == {event.id for event in taken}
        for event, _ in claims:
            assert seen(event) == before[event.id]
            assert any(event is one for one in drawn) == (kind == "memory")
        if kind == "memory":
            assert len(taken) == len(drawn)
    finally:
        await producer.close()
        await worker.close()
