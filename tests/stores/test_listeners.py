"""Listeners of a store: called for their signal, once or each time, until they are removed."""

from collections.abc import Callable

import pytest

from lionpride.stores.listeners import Listeners, Signal

HINTS = (Signal.READY, Signal.IDLE, Signal.CAPACITY, Signal.FINISHED, Signal.SCHEDULES)


def noted(called: list[str], name: str) -> Callable[..., None]:
    return lambda *given: called.append(name)


def notify(listeners: Listeners, signal: Signal, number: int = 1) -> None:
    if signal is Signal.FINISHED:
        listeners.notify_finished([number])
    elif signal is Signal.EXPIRED:
        listeners.notify_expired("event", "pending")
    elif signal is Signal.FAILED:
        listeners.notify_failed(ValueError())
    else:
        getattr(listeners, f"notify_{signal.value}")()


@pytest.mark.parametrize("signal", Signal)
def test_a_listener_is_called_once_or_each_time(signal: Signal) -> None:
    listeners, called = Listeners(), list[str]()
    number = 1 if signal is Signal.FINISHED else None
    listeners.subscribe(signal, noted(called, "once"), number=number, once=True)
    unsubscribe = listeners.subscribe(signal, noted(called, "stays"), number=number)
    for _ in range(2):
        for each in Signal:
            notify(listeners, each)
    assert called == ["once", "stays", "stays"]
    assert listeners.any_hint() is (signal in HINTS)
    unsubscribe()
    notify(listeners, signal)
    assert len(called) == 3
    assert not listeners.any_hint()


@pytest.mark.parametrize("signal", HINTS)
def test_a_listener_that_subscribes_again_while_it_is_called_is_called_the_next_time(
    signal: Signal,
) -> None:
    listeners, called = Listeners(), list[str]()
    number = 1 if signal is Signal.FINISHED else None

    def again() -> None:
        called.append("again")
        listeners.subscribe(signal, again, number=number, once=True)

    again()
    for times in (2, 3, 4):
        notify(listeners, signal)
        assert len(called) == times
        assert listeners.any_hint()


def test_a_finish_calls_the_listeners_of_its_event_alone() -> None:
    listeners, called = Listeners(), list[str]()
    removals = [
        listeners.subscribe(Signal.FINISHED, noted(called, name), number=number, once=True)
        for number, name in ((1, "one"), (2, "two"), (2, "two, again"), (3, "three"))
    ]
    removals[1]()
    removals[1]()
    listeners.notify_finished([2, 4])
    assert called == ["two, again"]
    removals[3]()
    listeners.notify_finished([1, 2, 3])
    assert called == ["two, again", "one"]
    assert not listeners.any_hint()
