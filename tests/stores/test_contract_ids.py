"""Every store takes ids as text, as UUIDs, and events themselves."""

from uuid import UUID

import pytest
from engine.kit import Job
from stores.asking import S

from lionpride.errors import NotFoundError, ValidationError
from lionpride.stores.contract import Cancelled, Store

NOWHERE = "00000000-0000-4000-8000-000000000000"


async def test_records_and_events_are_found_by_the_text_of_an_id(store: Store) -> None:
    job = Job(label="a")
    await store.append([(job, 1.0)])
    for uid in (job.id, str(job.id), job.id.hex):
        records = await store.get([uid, NOWHERE])
        assert [record and record.id for record in records] == [job.id, None]
        assert await store.find(uid) == job
    assert await store.find(NOWHERE) is None


async def test_events_are_changed_by_the_text_of_an_id(store: Store) -> None:
    one, two = Job(label="a"), Job(label="b")
    await store.append([(one, 1.0), (two, 1.0)])
    assert await store.cancel([str(one.id)]) == [Cancelled.DONE]
    await store.retry([str(one.id)])
    assert (await store.counts())[S.PENDING] == 2
    await store.remove([str(one.id), two.id.hex])
    assert await store.get([one.id, two.id]) == [None, None]


@pytest.mark.parametrize("wrong", ["zzz", "", "12", 5, None])
async def test_what_is_no_id_is_refused_by_name(store: Store, wrong: object) -> None:
    names = [wrong]
    for ask in (store.get, store.cancel, store.retry, store.remove):
        with pytest.raises(ValidationError, match="is no id"):
            await ask(names)  # type: ignore[operator]


async def test_an_unknown_id_is_not_found(store: Store) -> None:
    for ask in (store.cancel, store.retry, store.remove):
        with pytest.raises(NotFoundError, match=str(UUID(NOWHERE))):
            await ask([NOWHERE])


async def test_the_error_for_an_unknown_id_does_not_advise_to_append_it(store: Store) -> None:
    for ask in (store.cancel, store.retry, store.remove):
        for unknown in (NOWHERE, UUID(NOWHERE)):
            with pytest.raises(NotFoundError) as caught:
                await ask([unknown])
            assert f"has no event {NOWHERE}: check the id" in str(caught.value)


async def test_the_error_for_an_event_that_is_not_in_the_queue_advises_to_append_it(
    store: Store,
) -> None:
    for ask in (store.cancel, store.retry, store.remove):
        with pytest.raises(NotFoundError, match="append it first"):
            await ask([Job()])


async def test_the_error_for_a_removed_event_names_it(store: Store) -> None:
    job = Job()
    await store.append([(job, 1.0)])
    await store.remove([job.id])
    for ask in (store.cancel, store.retry, store.remove):
        with pytest.raises(NotFoundError, match="has no event"):
            await ask([job.id])
