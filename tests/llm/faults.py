"""What goes wrong at a provider, and when: by a list for each prompt, or by a seed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FAULTS = (
    "429 requests",  # too many requests, with a Retry-After
    "429 tokens",  # the same, for tokens
    "500",
    "503",
    "stall",  # the request is read, and nothing comes back
    "stall midway",  # the answer begins, and does not go on
    "reset",  # the connection is reset before the answer
    "reset midway",  # and within it
    "cut",  # the answer ends in order before it is complete
    "error midway",  # an error comes in place of the next chunk
)


@dataclass(frozen=True)
class Plan:
    """Says what becomes of the n-th request with a prompt; "ok" where nothing is planned.

    The answer depends on the prompt and on how often it has come, never on the order in which
    requests of a run arrive: the same seed does the same to the same prompts.

    Args:
        faults: For a prompt, what becomes of its first requests; the later ones are served. Beside
            the ``FAULTS`` there is "held 5": it is answered once five requests have arrived.
        seed: Where chance begins, for prompts that are not in ``faults``.
        share: Which part of the requests meets a fault.
        kinds: The faults that chance picks from.
        most: How many requests with one prompt can meet one; the next is served.
    """

    faults: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seed: int = 0
    share: float = 0.0
    kinds: Sequence[str] = FAULTS
    most: int = 2

    def fate(self, prompt: str, nth: int) -> str:
        """What becomes of the request that is the nth (from 0) with this prompt."""
        if prompt in self.faults:
            given = self.faults[prompt]
            return given[nth] if nth < len(given) else "ok"
        chance = random.Random(f"{self.seed}/{nth}/{prompt}")
        return (
            chance.choice(self.kinds) if nth < self.most and chance.random() < self.share else "ok"
        )
