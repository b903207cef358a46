"""What arrived at a provider, and the most that any sliding window of it held."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class Arrival:
    """One request as the provider saw it.

    Attributes:
        at: When all of it had been read, in seconds of the monotonic clock.
        prompt: The text of its last message.
        tokens: Those of its messages and of the whole answer, whatever becomes of the answer.
        client_id: What the client calls it, in ``X-Client-Request-Id``.
        fate: "ok", or what went wrong.
        refused: When it was told 429.
        served: Whether the whole answer went out.
    """

    at: float
    prompt: str
    tokens: int
    client_id: str = ""
    fate: str = "ok"
    refused: float | None = None
    served: bool = False

    def cost(self, limit: str) -> int:
        """What it takes of a limit: "requests" or "tokens"."""
        return 1 if limit == "requests" else self.tokens


def worst(costs: Iterable[tuple[float, int]], span: float) -> int:
    """The largest sum of costs in any half-open window of ``span`` seconds.

    A window that holds the most can be moved until it ends just after an arrival; so it is enough
    to look at those that do.

    Args:
        costs: Instants and what each costs, in the order of time.
        span: The length of the window; what comes that much later is in the next one.
    """
    window: deque[tuple[float, int]] = deque()
    most = total = 0
    for at, cost in costs:
        while window and at - window[0][0] >= span:
            total -= window.popleft()[1]
        window.append((at, cost))
        total += cost
        most = max(most, total)
    return most
