"""Health of a worker: liveness is the event loop and the heartbeat, readiness is the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

from ..errors import LionprideError
from ..stores.contract import LeaseHolder, Store
from .http_server import Handler, HttpResponse

__all__ = ["LIVE", "READY", "StoreCheck", "failed_renewal", "health_routes", "silent_heartbeat"]

LIVE: Final = "/health/live"
READY: Final = "/health/ready"

STORE_TIMEOUT: Final = 5.0
"""Seconds that a store has to answer."""

_CACHE_SECONDS: Final = 1.0

HEARTBEAT_LEASES: Final = 3.0
"""Lengths of a lease without a try to renew it, after which the heartbeat counts as dead."""

logger = logging.getLogger("lionpride.worker")


def health_routes(live: Callable[[], str], ready: Callable[[], Any]) -> dict[str, Handler]:
    """Return the handlers of both probes.

    Args:
        live: Returns why the worker is not alive; an empty text if it is.
        ready: A coroutine function that does the same for readiness.
    """

    async def answer_live(_: str) -> HttpResponse:
        problem = live()
        return HttpResponse.of(503, problem) if problem else HttpResponse.of(200, "ok")

    async def answer_ready(_: str) -> HttpResponse:
        problem = await ready()
        return HttpResponse.of(503, problem) if problem else HttpResponse.of(200, "ok")

    return {LIVE: answer_live, READY: answer_ready}


def silent_heartbeat(stores: Sequence[Store]) -> str:
    """Return which heartbeat has stopped trying; an empty text if none has.

    A heartbeat whose tries fail, since the database is away, has not stopped.
    """
    for store in stores:
        if isinstance(store, LeaseHolder):
            silence = store.heartbeat_silence
            if silence > HEARTBEAT_LEASES * store.lease:
                return f"the heartbeat of queue {store.queue} has not run for {silence:.0f} s"
    return ""


def failed_renewal(stores: Sequence[Store]) -> str:
    """Return which queue claims nothing, since its leases are not renewed; "" if none.

    A store that answers may refuse every change, as with a full disk.
    """
    for store in stores:
        if isinstance(store, LeaseHolder) and not store.renews_leases:
            return f"queue {store.queue} claims no events: its leases are not renewed"
    return ""


class StoreCheck:
    """Asks stores whether they answer; many calls within a second cost one query.

    The reason of a failure is logged, not returned: a probe may come from anywhere.

    Args:
        stores: Returns the stores.
    """

    def __init__(self, stores: Callable[[], Sequence[Store]]) -> None:
        self._stores = stores
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._problem = ""

    async def problem(self) -> str:
        """Return "the store does not answer"; an empty text if all stores answer."""
        async with self._lock:
            if monotonic() - self._checked_at > _CACHE_SECONDS:
                before, self._problem = self._problem, await self._ask()
                self._checked_at = monotonic()
                if before and not self._problem:
                    logger.info("the store answers again: the worker is ready")
            return self._problem

    async def _ask(self) -> str:
        try:
            async with asyncio.timeout(STORE_TIMEOUT):
                for store in self._stores():
                    await store.counts()
        except (LionprideError, OSError, TimeoutError) as error:
            if not self._problem:
                reason = str(error) or f"no answer within {STORE_TIMEOUT:g} s"
                logger.warning("the worker is not ready: the store does not answer: %s", reason)
            return "the store does not answer"
        return ""
