"""Bells ring once, those that are meant, and not when they have been taken off."""

from collections.abc import Callable

from lionpride.stores.bells import Bells, Ringing


def bell(rung: list[str], name: str) -> Callable[[], None]:
    return lambda: rung.append(name)


def test_each_kind_rings_once() -> None:
    bells, rung = Bells(), list[str]()
    bells.ready.append(bell(rung, "ready"))
    bells.idle.append(bell(rung, "idle"))
    bells.on_ended(7, bell(rung, "ended"))
    bells.on_ended(7, bell(rung, "ended too"))
    assert bells.any()
    for _ in range(2):
        bells.ring_ready()
        bells.ring_idle()
        bells.ring_ended([6, 7])
    assert rung == ["ready", "idle", "ended", "ended too"]
    assert not bells.any()


def test_a_bell_that_is_hung_anew_while_it_rings_rings_the_next_time() -> None:
    bells, rung = Bells(), list[str]()

    def again() -> None:
        rung.append("again")
        bells.ready.append(again)

    bells.ready.append(again)
    for times in (1, 2, 3):
        bells.ring_ready()
        assert len(rung) == times
        assert bells.ready == [again]


def test_one_that_stays_rings_each_time_until_it_is_taken_off() -> None:
    bells, rung = Bells(), list[str]()
    stays = bell(rung, "stays")
    bells.new.append(stays)
    bells.ready.append(bell(rung, "once"))
    bells.ring_ready()
    bells.ring_ready()
    assert rung == ["once", "stays", "stays"]
    assert bells.any()
    bells.off(stays)
    bells.ring_ready()
    assert rung == ["once", "stays", "stays"]
    assert not bells.any()


def test_what_is_taken_off_does_not_ring() -> None:
    bells, rung = Bells(), list[str]()
    mine, other = bell(rung, "mine"), bell(rung, "other")
    for each in (mine, other):
        bells.ready.append(each)
        bells.idle.append(each)
        bells.on_ended(1, each)
        bells.room.append(each)
    bells.on_ended(2, mine)
    bells.off(mine)
    bells.off(mine)
    bells.ring_ready()
    bells.ring_idle()
    bells.ring_room()
    bells.ring_ended([1, 2])
    assert rung == ["other"] * 4
    assert not bells.any()


def test_one_that_hangs_at_many_events_is_taken_off_of_all() -> None:
    bells, rung = Bells(), list[str]()
    mine, other = bell(rung, "mine"), bell(rung, "other")
    for number in (1, 2, 2, 3):
        bells.on_ended(number, mine)
    bells.on_ended(2, other)
    bells.ring_ended([1])
    bells.off(mine)
    bells.ring_ended([1, 2, 3])
    assert rung == ["mine", "other"]
    assert not bells.any()


def test_a_store_need_not_write_out_what_only_its_bells_do() -> None:
    class Store(Ringing):
        def __init__(self) -> None:
            self._bells = Bells()

    store, rung = Store(), list[str]()
    store.on_ready(bell(rung, "ready"))
    store.on_idle(bell(rung, "idle"))
    store.ring_idle()
    off = bell(rung, "off")
    store.on_idle(off)
    store.off(off)
    store.ring_idle()
    assert rung == ["idle"]
    assert len(store._bells.ready) == 1
