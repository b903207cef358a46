"""Every store, and a queue limit that many appends meet at the same time."""

import asyncio

from stores.asking import check_counts, claim, put
from stores.makers import Clock, Job

from lionpride.errors import ExistsError, QueueFullError
from lionpride.model.execution import EventStatus
from lionpride.stores.contract import Store
from lionpride.stores.terms import Terms

S = EventStatus


async def test_appends_at_the_same_time_fill_the_queue_exactly(store: Store) -> None:
    await put(store, 1.0, 1.0)
    jobs = [Job(label=str(number)) for number in range(60)]
    answers = await asyncio.gather(
        *(store.append([(job, 1.0)], room=25) for job in jobs), return_exceptions=True
    )
    assert answers[:23] == [[job] for job in jobs[:23]]
    assert all(type(answer) is QueueFullError for answer in answers[23:])
    last = answers[-1]
    assert isinstance(last, QueueFullError)
    assert last.details == {"queue_size": 25, "max_size": 25, "events": 1}
    assert (await store.counts())[S.PENDING] == 25
    await check_counts(store)


async def test_appends_of_every_kind_at_the_same_time_keep_the_limit(
    store: Store, clock: Clock
) -> None:
    later = Terms(due=clock() + 60)
    answers = await asyncio.gather(
        *(store.append([(Job(), 1.0)], room=30) for _ in range(20)),
        *(store.append([(Job(), 1.0), (Job(), 2.0)], room=30) for _ in range(10)),
        *(store.append([(Job(), 1.0)], room=30, terms=later) for _ in range(10)),
        *(store.append([(Job(), 1.0)], room=30, exist_ok=True) for _ in range(10)),
        return_exceptions=True,
    )
    accepted = sum(len(each) for each in answers if isinstance(each, list))
    assert {type(each) for each in answers} == {list, QueueFullError}
    assert (await store.counts())[S.PENDING] == accepted
    assert accepted == 30
    await check_counts(store)


async def test_each_append_meets_its_own_limit(store: Store) -> None:
    limits = [2, None, 1, 5, None, 3, 5, 5]
    answers = await asyncio.gather(
        *(store.append([(Job(), 1.0)], room=limit) for limit in limits), return_exceptions=True
    )
    accepted = [isinstance(each, list) for each in answers]
    assert accepted == [True, True, False, True, True, False, True, False]
    assert (await store.counts())[S.PENDING] == 5


async def test_a_known_id_is_refused_as_known_in_a_full_queue(store: Store) -> None:
    known, other = await put(store, 1.0, 1.0)
    copy, new = Job.from_dict(known.to_dict()), Job()
    answers = await asyncio.gather(
        store.append([(copy.as_fresh_event(), 1.0)], room=2),
        store.append([(Job(id=known.id), 1.0)], room=2),
        store.append([(new, 1.0)], room=3),
        store.append([(Job(id=new.id), 1.0)], room=3),
        store.append([(Job(), 1.0)], room=4),
        return_exceptions=True,
    )
    kinds = [type(each) for each in answers]
    assert kinds == [QueueFullError, ExistsError, list, ExistsError, list]
    assert (await store.counts())[S.PENDING] == 4
    assert other.execution.arrival is not None


async def test_a_claim_makes_space_for_as_many_as_it_takes(store: Store) -> None:
    await put(store, *[1.0] * 10)
    assert len(await claim(store, 4, start=True)) == 4
    answers = await asyncio.gather(
        *(store.append([(Job(), 1.0)], room=10) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(each, list) for each in answers) == 4
    assert (await store.counts())[S.PENDING] == 10
