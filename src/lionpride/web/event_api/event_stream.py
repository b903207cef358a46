"""The progress and the chunks of an event as server-sent events."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any, Final
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive

from ...core import Event
from ...engine.stream_reader import StreamReader
from ...errors import LionprideError
from ...model.execution import TERMINAL
from ..access import LOG
from ..encoding import encoded
from ..server_stop import stopping
from .event_types import EventType, public_json
from .operations import Operations, disconnected

__all__ = ["follow"]

END: Final = "end"
"""The id of the last message; a browser that connects again with it is told to stop."""

_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_QUEUE: Final = 16
"""Messages that wait for a slow client; the readers wait then."""
_POSITION: Final = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")


async def follow(
    operations: Operations, kind: EventType, uid: UUID, last_id: str | None, receive: Receive
) -> Response:
    """Return a stream with the progress and the chunks of an event, until it has finished.

    Args:
        operations: The operations.
        kind: The type of the event.
        uid: Its id.
        last_id: The header ``Last-Event-ID``: the chunks up to it are not sent again.
        receive: Of the request.

    Raises:
        HTTPException: 404 or 503.
    """
    await operations.record(kind, uid)
    if last_id == END:
        return Response(status_code=204)  # EventSource does not connect again after a 204
    found = _POSITION.fullmatch(last_id or "")
    after = (int(found[1]), int(found[2])) if found else (0, 0)
    messages = _Messages(operations, kind, uid, after)
    return StreamingResponse(messages.until_gone(receive), 200, _HEADERS, "text/event-stream")


class _Messages:
    """The messages of one stream.

    Args:
        operations: The operations.
        kind: The type of the event.
        uid: Its id.
        after: The attempt, and the number of its chunks, that the client has.
    """

    def __init__(
        self, operations: Operations, kind: EventType, uid: UUID, after: tuple[int, int]
    ) -> None:
        self._operations = operations
        self._kind = kind
        self._uid = uid
        self._after = after
        self._is_stream = False
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE)

    async def until_gone(self, receive: Receive) -> AsyncIterator[bytes]:
        """Yield messages until the event has finished, the client is gone or the server stops."""
        reader = asyncio.create_task(self._read())
        ends = {asyncio.create_task(each) for each in (disconnected(receive), stopping())}
        getter: asyncio.Task[bytes | None] | None = None
        try:
            yield b"retry: 2000\n\n"
            while True:
                getter = getter or asyncio.create_task(self._queue.get())
                done, _ = await asyncio.wait(
                    {getter, *ends},
                    timeout=self._operations.limits.heartbeat,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if done & ends:
                    return
                if getter not in done:
                    yield b": heartbeat\n\n"
                    continue
                message, getter = getter.result(), None
                if message is None:
                    break
                yield message
            if (last := await self._last_message()) is not None:
                yield last
        finally:
            tasks = [each for each in (reader, getter, *ends) if each is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        """Put all messages but the last into the queue, and None at their end."""
        try:
            held = await self._operations.executor.get(self._uid)
            readers: list[Coroutine[Any, Any, None]] = [self._read_progress()]
            self._is_stream = isinstance(held, Event) and held.streaming
            if self._is_stream:
                readers.append(self._read_chunks())
            async with asyncio.TaskGroup() as group:
                for each in readers:
                    group.create_task(each)
        except* LionprideError:
            pass  # it was removed, or the store failed: the client connects again, and is told so
        except* Exception:
            LOG.exception("the stream of event %s ended early", self._uid)
        await self._queue.put(None)

    async def _read_progress(self) -> None:
        uid: UUID | None = self._uid
        while uid is not None:
            async with aclosing(self._operations.executor.progress(uid)) as reports:
                async for report in reports:
                    await self._queue.put(_message("progress", report._asdict()))
            (record,) = await self._operations.executor.store.get((uid,))
            uid = None if record is None else record.continued_by

    async def _read_chunks(self) -> None:
        store = self._operations.executor.store
        held = await store.find(self._uid)
        if not isinstance(held, Event):
            return
        count, has_restarted = self._after[1], False

        def restart() -> None:
            nonlocal has_restarted
            has_restarted = True

        reader = StreamReader(store, held, restart, self._after)
        async with aclosing(reader.chunks()) as chunks:
            async for chunk in chunks:
                if has_restarted:
                    count, has_restarted = 0, False
                    await self._queue.put(_message("restart", {"attempt": reader.attempt}))
                count += 1
                position = f"{reader.attempt}-{count}"
                await self._queue.put(_message("chunk", public_json(chunk), position))

    async def _last_message(self) -> bytes | None:
        """Return the message with the final state; None if the event has not finished."""
        try:
            record = await self._operations.record(self._kind, self._uid)
            last = await self._operations.last(record)
        except HTTPException:
            return None
        if last.status not in TERMINAL:
            return None
        state = self._kind.state_of(self._uid, last, result=not self._is_stream)
        return _message("finished", state, END)


def _message(name: str, data: Any, uid: str | None = None) -> bytes:
    """Return a server-sent event; JSON has no line breaks."""
    head = f"event: {name}\n" if uid is None else f"event: {name}\nid: {uid}\n"
    return encoded(f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n")
