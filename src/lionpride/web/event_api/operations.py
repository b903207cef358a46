"""Operations on events as HTTP answers: submit, read, wait, cancel."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive

from ...core import Event, Executor
from ...errors import (
    ConfigurationError,
    ExistsError,
    NotFoundError,
    OperationError,
    QueueFullError,
    StoreError,
    ValidationError,
)
from ...model.execution import TERMINAL
from ...model.finite import is_finite
from ...stores.record import Record
from ..encoding import json_response
from ..server_stop import stopping
from .event_types import EventType

__all__ = ["Operations", "RequestLimits", "disconnected", "limited"]

MAX_KEY: Final = 200
"""Characters of an ``Idempotency-Key``."""

KEY_PERIOD: Final = 86400.0
"""Seconds in which an ``Idempotency-Key`` returns the event of its first request."""

_MAX_CONTINUATIONS: Final = 1000


@dataclass(frozen=True)
class RequestLimits:
    """Bounds of requests.

    Attributes:
        max_wait: The longest ``?wait=``, in seconds.
        retry_after: Seconds of the header ``Retry-After`` of an answer 503.
        heartbeat: Seconds of silence in a stream after which a comment is sent.
        max_body: Bytes of the largest body.

    Raises:
        ConfigurationError: if one is not a finite number above 0.
    """

    max_wait: float = 30.0
    retry_after: float = 5.0
    heartbeat: float = 15.0
    max_body: int = 1_048_576

    def __post_init__(self) -> None:
        for name in ("max_wait", "retry_after", "heartbeat"):
            value: Any = getattr(self, name)
            if not is_finite(value) or value <= 0:
                raise ConfigurationError(
                    f"{name} must be a number of seconds above 0, not {value!r}"
                )
        most: Any = self.max_body
        if not isinstance(most, int) or most < 1:
            raise ConfigurationError(f"max_body must be a number of bytes above 0, not {most!r}")


class Operations:
    """Submits, reads and cancels events for HTTP clients.

    Args:
        executor: The executor.
        limits: Bounds of requests.
    """

    def __init__(self, executor: Executor, limits: RequestLimits) -> None:
        self.executor = executor
        self.limits = limits

    async def submit(
        self, kind: EventType, event: Event, key: str | None, wait: float, request: Request
    ) -> Response:
        """Append an event, and return its state after a wait.

        Args:
            kind: The type of the event.
            event: The event.
            key: The ``Idempotency-Key`` of the request: a repeated request returns the first event.
            wait: Seconds to wait for the end.
            request: The request; the event is at its path, followed by the id.

        Returns:
            201 if the event has finished, 200 if the request was a repeat, else 202.

        Raises:
            HTTPException: 409, 422 or 503.
        """
        unique = None if key is None else f"http/{kind.name}/{_checked_key(key)}"
        period = None if key is None else KEY_PERIOD
        try:
            held = await self.executor.append(event, unique=unique, unique_for=period)
        except QueueFullError as error:
            raise self._unavailable("The queue is full.") from error
        except ExistsError as error:
            raise HTTPException(409, str(error)) from error
        except ValidationError as error:
            raise HTTPException(422, str(error)) from error
        except OperationError as error:
            raise self._unavailable("No events are accepted at the moment.") from error
        except StoreError as error:
            raise self._unavailable() from error
        is_repeat = held.id != event.id
        if is_repeat and not kind.is_same(held, event):
            raise HTTPException(409, f"Idempotency-Key {key!r} belongs to a request that differs.")
        state = await self.read(kind, held.id, wait, request.receive)
        status = 200 if is_repeat else 201 if state["status"] in TERMINAL else 202
        location = f"{request.url.path.rstrip('/')}/{held.id}"
        return json_response(state, status, {"Location": location})

    async def read(
        self, kind: EventType, uid: UUID, wait: float, receive: Receive
    ) -> dict[str, Any]:
        """Return the state of an event, after a wait for its end.

        Raises:
            HTTPException: 404 if no event of the type has the id, or 503.
            ClientDisconnect: if the client is gone.
        """
        record = await self.record(kind, uid)
        if wait > 0 and (record.status not in TERMINAL or record.continued_by is not None):
            await self._wait(uid, wait, receive)
            record = await self.record(kind, uid)
        return kind.state_of(uid, await self.last(record))

    async def cancel(self, kind: EventType, uid: UUID) -> Response:
        """Cancel an event.

        Returns:
            200 if it has finished as cancelled, 202 if its code is still running.

        Raises:
            HTTPException: 404, 409 if it has finished in another way, or 503.
        """
        await self.record(kind, uid)
        try:
            has_cancelled = await self.executor.cancel(uid)
        except NotFoundError as error:
            raise HTTPException(404, "No such event.") from error
        except StoreError as error:
            raise self._unavailable() from error
        last = await self.last(await self.record(kind, uid))
        if not has_cancelled and last.status.value != "cancelled":
            raise HTTPException(409, f"The event has finished: {last.status.value}.")
        return json_response(kind.state_of(uid, last), 200 if last.status in TERMINAL else 202)

    async def record(self, kind: EventType, uid: UUID) -> Record:
        """Return the record of an event of a type.

        Raises:
            HTTPException: 404 or 503.
        """
        record = await self._get(uid)
        if record is None or not kind.has(record):
            raise HTTPException(404, "No such event.")
        return record

    async def last(self, record: Record) -> Record:
        """Return the record of the last event that continues an event; its own if none does."""
        for _ in range(_MAX_CONTINUATIONS):
            following = record.continued_by and await self._get(record.continued_by)
            if not following:
                break
            record = following
        return record

    async def _get(self, uid: UUID) -> Record | None:
        try:
            (record,) = await self.executor.store.get((uid,))
        except StoreError as error:
            raise self._unavailable() from error
        return record

    async def _wait(self, uid: UUID, seconds: float, receive: Receive) -> None:
        """Return when an event has finished, after some seconds, or when the server stops.

        Raises:
            ClientDisconnect: if the client is gone.
        """
        gone = asyncio.create_task(disconnected(receive))
        tasks = [gone, *(asyncio.create_task(each) for each in (self._finished(uid), stopping()))]
        try:
            done, _ = await asyncio.wait(
                tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if gone in done:
            raise ClientDisconnect

    async def _finished(self, uid: UUID) -> None:
        with suppress(Exception):  # the caller reads the outcome from the record
            await self.executor.result(uid)

    def _unavailable(self, reason: str = "The store does not answer.") -> HTTPException:
        seconds = max(1, round(self.limits.retry_after))
        return HTTPException(503, reason, {"Retry-After": str(seconds)})


def limited(request: Request, most: int) -> Request:
    """Return a request whose body cannot have more than some bytes.

    To read a longer one raises HTTPException with 413, before it is all in memory.
    """
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > most:
            raise HTTPException(413, f"A body may have {most} bytes.")
        return message

    return Request(request.scope, receive)


async def disconnected(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _checked_key(key: str) -> str:
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        raise HTTPException(422, f"Idempotency-Key: give 1 to {MAX_KEY} printable characters.")
    return key
