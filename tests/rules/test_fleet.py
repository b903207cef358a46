"""What `scope="fleet"` means: limits that every start takes one of."""

from collections.abc import Mapping

from stores.makers import Job

from lionpride.rules.limits.fleet import CAPACITY, CONCURRENCY, fleet_limits
from lionpride.rules.limits.limit_set import Limits


class Dear(Job):
    @property
    def costs(self) -> Mapping[str, float]:
        return {"tokens": 5}


def test_every_event_takes_one_start_and_one_slot_whatever_it_costs() -> None:
    limits = Limits(fleet_limits("mail", 200, 1.0, 8))
    assert limits[CAPACITY].pool == "mail: queue_capacity"
    for event in (Job(), Dear()):
        _, shares = limits.asked(event)
        assert {account.limit.name: amount for account, amount in shares} == {
            CAPACITY: 1,
            CONCURRENCY: 1,
        }
        found = dict(limits.amounts({"tokens": 5}, None))
        assert list(found.values()) == [1, 1]


def test_without_a_capacity_only_what_runs_is_counted() -> None:
    assert list(Limits(fleet_limits("mail", None, 1.0, 8))) == [CONCURRENCY]
