"""Two releases of one event class, and executors of a queue that holds events of both."""

from typing import Any, ClassVar

from pydantic import create_model

from lionpride.core import Event, Executor, Processor
from lionpride.rules.limits.limit import Limit


def release(*fields: str) -> Any:
    """The class `Versioned` with these fields beside `label`, in place of the one before."""
    given: Any = dict.fromkeys(("label", *fields), (str, ""))
    return create_model("Versioned", __base__=Event, __module__="releases", **given)


class Readable(Event):
    async def _invoke(self) -> str:
        return "done"


class Anything(Processor):
    event_type = Event


class Limited(Anything):
    limits: ClassVar = (Limit("requests", 50, per=60), Limit("slots", 5))


class Plain(Executor):
    processor_type = Anything


class WithLimits(Executor):
    processor_type = Limited


async def fill(url: str, n: int, *others: Event) -> None:
    """Append events of the new release, then others, and define the old release."""
    new = release("note")
    executor = Plain(store=url, queue="q")
    await executor.append_many([new(note=f"{at}") for at in range(n)])
    await executor.append_many(list(others))
    await executor.store.close()
