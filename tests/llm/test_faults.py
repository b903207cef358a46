"""What goes wrong depends on the seed, the prompt and how often it came, and on nothing else."""

from collections import Counter

from llm.faults import FAULTS, Plan


def test_a_list_is_followed_and_then_all_is_well():
    plan = Plan({"a": ["500", "stall"]}, share=1.0)
    assert [plan.fate("a", nth) for nth in range(4)] == ["500", "stall", "ok", "ok"]


def test_without_a_share_all_is_well():
    assert Plan().fate("a", 0) == "ok"


def test_a_seed_does_the_same_each_time_and_another_does_not():
    prompts = [(f"prompt {n}", nth) for n in range(200) for nth in range(2)]

    def fates(seed):
        return [Plan(seed=seed, share=0.5).fate(*each) for each in prompts]

    assert fates(1) == fates(1)
    assert fates(1) != fates(2)


def test_chance_meets_its_share_of_every_kind_and_ends():
    plan = Plan(seed=3, share=0.5, most=2)
    fates = Counter(plan.fate(f"prompt {n}", 1) for n in range(2000))
    assert set(fates) == {"ok", *FAULTS}
    assert 900 < fates["ok"] < 1100
    assert {plan.fate(f"prompt {n}", 2) for n in range(2000)} == {"ok"}
