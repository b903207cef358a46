"""Unset: one value, false, itself wherever it goes."""

import copy
import pickle

import pytest

from lionpride.model.unset import Unset, UnsetType


def test_it_is_false_and_says_its_name():
    assert not Unset
    assert repr(Unset) == "Unset"
    assert isinstance(Unset, UnsetType)
    assert Unset is not None


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_stays_itself(protocol):
    assert pickle.loads(pickle.dumps(Unset, protocol)) is Unset
    assert copy.copy(Unset) is Unset
    assert copy.deepcopy({"k": [Unset]})["k"][0] is Unset
