"""The deeds of the release before: the class lacks the field ``note``.

Importing this module replaces the class ``crash.deeds.Deed`` in the registry of the process, as
if the process had been started from the older code. Only a worker imports it, and only late.
"""

from typing import Any, ClassVar

from crash.deeds import RETRY, perform

from lionpride.core import Event, Executor, Processor, Retry


class Deed(Event):
    """As the newer class, without ``note``."""

    __module__ = "crash.deeds"

    label: int = 0
    pause: float = 0.0
    block: float = 0.0
    slips: int = 0

    retry: ClassVar[Retry | None] = RETRY

    async def _invoke(self) -> Any:
        return await perform(self)


class Doing(Processor):
    event_type = Deed


class Doer(Executor):
    processor_type = Doing
