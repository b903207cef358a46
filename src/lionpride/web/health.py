"""Health check and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ..core import EventStatus
from ..errors import LionprideError
from ..view.prometheus import oldest_waiting
from .access import LOOK
from .context import PageContext, context_of
from .render import plain

__all__ = ["healthz", "metrics"]

STORE_TIMEOUT: Final = 5.0  # seconds that a store has to answer


async def healthz(request: Request) -> Response:
    """Return 200 if the store answers, and the executor of this process, if any, is running."""
    context = context_of(request)
    try:
        async with asyncio.timeout(STORE_TIMEOUT):
            counts = await context.monitor.counts()
            waiting = sum(each[EventStatus.PENDING] for each in counts.values())
            seconds = context.idle_for(waiting, monotonic())
            if seconds and not await _is_any_due(context, counts):
                seconds = 0.0
    except (LionprideError, OSError, TimeoutError) as error:
        return await _unavailable(request, error)
    if seconds:
        return plain(
            f"{waiting} events are pending, and no worker has run any of them for "
            f"{seconds:.0f} s\n",
            503,
        )
    return plain("ok\n")


async def _is_any_due(context: PageContext, queues: Iterable[str]) -> bool:
    """Return True if a pending event could start: it is neither scheduled nor blocked."""
    return any([await oldest_waiting(context.monitor.store(queue)) for queue in queues])


async def metrics(request: Request) -> Response:
    """Return the metrics for Prometheus; 503 if the store does not answer."""
    context = context_of(request)
    try:
        async with asyncio.timeout(STORE_TIMEOUT):
            prometheus = context.prometheus
            may_look = await context.access.may(request, LOOK)
            answer = prometheus.answer if may_look else prometheus.public_answer
            body, content_type = await answer(request.headers.get("accept", ""))
    except (LionprideError, OSError, TimeoutError) as error:
        return await _unavailable(request, error)
    return Response(body, headers={"Content-Type": content_type})


async def _unavailable(request: Request, error: Exception) -> Response:
    """Return 503; with the reason and the address only if the request may look."""
    reason = f"no answer within {STORE_TIMEOUT:g} s" if isinstance(error, TimeoutError) else error
    details = f": {reason}" if await context_of(request).access.may(request, LOOK) else ""
    return plain(f"the store does not answer{details}\n", 503)
