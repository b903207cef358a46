"""What can be seen of an attempt while it runs, and that it stays out of copies and dumps."""

import copy
import pickle

import pytest
from pydantic import PrivateAttr

from lionpride.core import Event
from lionpride.errors import ConfigurationError
from lionpride.model.progress import ENTRY, Live, Progress


class Plain(Event):
    number: int = 0


def test_a_live_is_made_once_and_shows_only_its_own_attempt() -> None:
    own = Plain().__dict__
    live = Live.of(own)
    assert Live.of(own) is live
    live.begin(2, ["a"])
    assert Live.now(own) is None, "the event is at attempt 0"
    own["_attempt"] = 2
    assert Live.now(own) is live
    live.progress = Progress(0.5, "half")
    live.begin(3)
    assert (live.attempt, live.chunks, live.progress) == (3, None, None)


def test_a_bell_rings_once_and_may_be_hung_anew_while_it_rings() -> None:
    live, rings = Live(), []

    def listener() -> None:
        rings.append(live.attempt)
        live.listeners.append(listener)

    live.listeners.append(listener)
    live.begin(1)
    live.notify()
    assert rings == [1, 1]
    assert live.listeners == [listener]


def test_no_copy_and_no_dump_has_it() -> None:
    event = Plain()
    Live.of(event.__dict__).begin(0, ["a"])
    for other in (
        copy.copy(event),
        copy.deepcopy(event),
        pickle.loads(pickle.dumps(event)),
        event.model_copy(),
        event.as_fresh_event(),
        Plain.from_dict(event.to_dict()),
    ):
        assert ENTRY not in other.__dict__
    assert ENTRY not in event.to_dict("json")
    assert ENTRY not in event.model_dump()


def test_its_name_is_taken() -> None:
    with pytest.raises(ConfigurationError, match="_live"):

        class Taken(Event):
            _live: int = PrivateAttr(0)
