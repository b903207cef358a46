"""A provider of chat completions on this machine: OpenAI's protocol, its limits and its failures.

It answers each prompt with a text of its own, as server-sent events where that is asked for, and
keeps a log of what arrived when. By hand::

    PYTHONPATH=tests python -m llm.provider --port 8000 --faults 0.2

then point a client at ``http://127.0.0.1:8000/v1``, with any text as the key.
"""

import argparse
import asyncio
import hashlib
import json
import math
import random
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, Self

from llm.faults import Plan
from llm.windows import Arrival, worst
from llm.wire import Answer, Request, read_request

WORDS = ("lion", "star", "warm", "sand", "walks", "over", "counts", "every", "shines", "tonight")
LONGEST = 40  # words of an answer
PER_MINUTE = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)"}


def answer_to(prompt: str, most: int | None = None) -> str:
    """The text that a prompt is answered with; each of its words is one token."""
    chance = random.Random(hashlib.sha256(prompt.encode()).digest())
    return " ".join(chance.choices(WORDS, k=min(most or LONGEST, chance.randint(5, LONGEST))))


class Provider:
    """The server: ``async with`` starts it, and stops it.

    Args:
        plan: What goes wrong.
        limits: How much of "requests" and "tokens" any window may hold.
        span: The length of a window, in seconds.
        enforce: Whether what exceeds a limit is refused with a 429; if not, it is only logged.
        retry_after: The seconds that a planned 429 asks for.
        pace: The seconds between two chunks of an answer.
        words: How many words of an answer are in a chunk.
        key: The only API key that is taken; None: any text, but one there has to be.
        models: The models that there are; None: any.
        port: Where to listen; 0: wherever there is room.

    Attributes:
        log: Every request for a completion, in the order of arrival.
        turned_away: How many requests had not the right key.
    """

    def __init__(
        self,
        plan: Plan | None = None,
        *,
        limits: Mapping[str, int] | None = None,
        span: float = 60.0,
        enforce: bool = False,
        retry_after: float = 0.3,
        pace: float = 0.0,
        words: int = 1,
        key: str | None = None,
        models: Collection[str] | None = None,
        port: int = 0,
    ) -> None:
        self.log: list[Arrival] = []
        self.turned_away = 0
        self._plan = plan or Plan()
        self._limits = dict(limits or {})
        self._span = span
        self._enforce = enforce
        self._retry_after = retry_after
        self._pace = pace
        self._words = words
        self._key = key
        self._models = models
        self._port = port
        self._times: Counter[str] = Counter()
        self._connections: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()

    # ------------------------------------------------------------------------ what a test asks

    @property
    def url(self) -> str:
        """The base URL for a client."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}/v1"

    def fates(self) -> Counter[str]:
        """How many requests met which fate."""
        return Counter(arrival.fate for arrival in self.log)

    def worst(self, limit: str, span: float | None = None) -> int:
        """The most of a limit that arrived in any window of ``span`` seconds, refused or not."""
        costs = ((each.at, each.cost(limit)) for each in self.log)
        return worst(costs, self._span if span is None else span)

    async def until(self, number: int) -> None:
        """Return when so many answers have gone out to their ends."""
        async with self._news:
            await self._news.wait_for(lambda: sum(each.served for each in self.log) >= number)

    async def arrived(self, number: int) -> None:
        """Return when so many requests have arrived."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.log) >= number)

    # -------------------------------------------------------------------------------- its life

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while not writer.is_closing():
                request = await read_request(reader)
                await self._answer(request, Answer(writer, self._headers))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the server is stopped
        finally:
            self._connections.discard(task)
            writer.close()

    # -------------------------------------------------------------------------- one completion

    async def _answer(self, request: Request, answer: Answer) -> None:
        asked = json.loads(request.body or b"{}")
        if not request.key or self._key not in (None, request.key):
            self.turned_away += 1
            await answer.whole(401, _error("Incorrect API key", code="invalid_api_key"))
        elif (request.method, request.path) != ("POST", "/v1/chat/completions"):
            await answer.whole(404, _error("Invalid URL", code="unknown_url"))
        elif not asked.get("model") or not asked.get("messages"):
            await answer.whole(400, _error("You must provide a model and messages"))
        else:
            arrival = self._enter(asked, request.headers.get("x-client-request-id", ""))
            await self._tell()
            await self._meet(arrival, asked, answer)
            await self._tell()

    def _enter(self, asked: dict[str, Any], client_id: str) -> Arrival:
        """Log a request, and decide on its fate."""
        prompt = _prompt(asked)
        at = asyncio.get_running_loop().time()
        arrival = Arrival(at, prompt, _usage(asked)["total_tokens"], client_id)
        unknown = self._models is not None and asked["model"] not in self._models
        over = [limit for limit in self._limits if self._exceeds(limit, arrival)]
        if unknown:
            arrival.fate = "404"
        elif self._enforce and over:
            arrival.fate = f"429 {over[0]}"
        else:
            arrival.fate = self._plan.fate(prompt, self._times[prompt])
            self._times[prompt] += 1
        self.log.append(arrival)
        return arrival

    async def _tell(self) -> None:
        """Something has arrived, or has been answered."""
        async with self._news:
            self._news.notify_all()

    async def _meet(self, arrival: Arrival, asked: dict[str, Any], answer: Answer) -> None:
        """Let a request meet its fate."""
        if arrival.fate.startswith("held"):
            await self.arrived(int(arrival.fate.split()[1]))
        match arrival.fate:
            case "429 requests" | "429 tokens" as fate:
                await self._refuse(fate.removeprefix("429 "), arrival, answer)
            case "404":
                text = f"The model {asked['model']!r} does not exist"
                await answer.whole(404, _error(text, code="model_not_found"))
            case "500" | "503" as status:
                await answer.whole(int(status), _error("The server had an error", "server_error"))
            case "stall":
                await asyncio.Event().wait()
            case "reset":
                answer.reset()
            case _ if asked.get("stream"):
                await self._stream(arrival, asked, answer)
            case _:
                message = {"role": "assistant", "content": _text(asked)}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                frame = _frame(asked, "chat.completion")
                await answer.whole(200, {**frame, "choices": [choice], "usage": _usage(asked)})
                arrival.served = True

    async def _stream(self, arrival: Arrival, asked: dict[str, Any], answer: Answer) -> None:
        await answer.begin()
        events = list(_events(asked, self._words))
        whole = arrival.fate == "ok" or arrival.fate.startswith("held")
        for event in events if whole else events[: len(events) // 2]:
            await answer.event(json.dumps(event))
            await asyncio.sleep(self._pace)
        if arrival.fate == "stall midway":
            await asyncio.Event().wait()
        if arrival.fate == "error midway":
            await answer.event(json.dumps(_error("The server had an error", "server_error")))
        if whole:
            await answer.event("[DONE]")
        if arrival.fate == "reset midway":
            answer.reset()
        else:
            await answer.end()
        arrival.served = whole

    # ------------------------------------------------------------------------------ its limits

    def _window(self, limit: str) -> list[tuple[float, int]]:
        """What was let in during the window that ends now: instants, and what each cost."""
        begin = asyncio.get_running_loop().time() - self._span
        entered = (each for each in self.log if each.at > begin and each.fate[:3] != "429")
        return [(each.at, each.cost(limit)) for each in entered]

    def _exceeds(self, limit: str, arrival: Arrival) -> bool:
        used = sum(cost for _, cost in self._window(limit))
        return used + arrival.cost(limit) > self._limits[limit]

    def _opens(self, limit: str) -> float:
        """Seconds until the oldest of a window leaves it."""
        window = self._window(limit)
        now = asyncio.get_running_loop().time()
        return max(0.0, window[0][0] + self._span - now) if window else 0.0

    def _headers(self) -> dict[str, str]:
        """What every answer says of the limits."""
        found = {}
        for limit, most in self._limits.items():
            left = most - sum(cost for _, cost in self._window(limit))
            found[f"x-ratelimit-limit-{limit}"] = str(most)
            found[f"x-ratelimit-remaining-{limit}"] = str(max(0, left))
            found[f"x-ratelimit-reset-{limit}"] = f"{math.ceil(self._opens(limit) * 1000)}ms"
        return found

    async def _refuse(self, limit: str, arrival: Arrival, answer: Answer) -> None:
        """Say 429: in milliseconds as OpenAI does, and in whole seconds as the standard has it."""
        wait = max(self._opens(limit), 0.001) if self._enforce else self._retry_after
        headers = {
            "retry-after-ms": str(math.ceil(wait * 1000)),
            "retry-after": str(math.ceil(wait)),
        }
        arrival.refused = asyncio.get_running_loop().time()
        text = f"Rate limit reached on {PER_MINUTE[limit]}"
        await answer.whole(429, _error(text, limit, "rate_limit_exceeded"), headers)


# ------------------------------------------------------------------------------------- the protocol


def _prompt(asked: dict[str, Any]) -> str:
    return str(asked["messages"][-1].get("content", ""))


def _text(asked: dict[str, Any]) -> str:
    return answer_to(_prompt(asked), asked.get("max_tokens"))


def _usage(asked: dict[str, Any]) -> dict[str, int]:
    """What a request uses: a token for each word, and three for each message."""
    given = sum(len(str(each.get("content", "")).split()) + 3 for each in asked["messages"])
    made = len(_text(asked).split())
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


def _frame(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1767225600, "model": asked["model"]}


def _error(message: str, kind: str = "invalid_request_error", code: str | None = None) -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _events(asked: dict[str, Any], at_once: int) -> Iterator[dict[str, Any]]:
    """The events of a streamed answer, but for the [DONE] at its end."""
    usage = (asked.get("stream_options") or {}).get("include_usage", False)
    frame = _frame(asked, "chat.completion.chunk") | ({"usage": None} if usage else {})
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    words = re.findall(r" ?\w+", _text(asked))
    deltas += [{"content": "".join(each)} for each in batched(words, at_once)]
    for delta in deltas:
        yield {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if usage:
        yield {**frame, "choices": [], "usage": _usage(asked)}


def batched(items: list[str], size: int) -> Iterator[list[str]]:
    """The items, so many at a time; Python 3.12 has it."""
    return (items[start : start + size] for start in range(0, len(items), size))


# ------------------------------------------------------------------------------------------ by hand


async def serve(options: argparse.Namespace) -> None:
    """Serve until interrupted."""
    limits = {"requests": options.rpm, "tokens": options.tpm}
    limits = {limit: most for limit, most in limits.items() if most}
    plan = Plan(seed=options.seed, share=options.faults)
    async with Provider(
        plan, limits=limits, enforce=True, pace=options.pace, port=options.port
    ) as provider:
        print(provider.url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Serve by hand."""
    parser = argparse.ArgumentParser(description="a provider of chat completions, to try things on")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--rpm", type=int, help="refuse more requests a minute")
    parser.add_argument("--tpm", type=int, help="refuse more tokens a minute")
    parser.add_argument("--faults", type=float, default=0.0, help="the share of requests that fail")
    parser.add_argument("--seed", type=int, default=0, help="where chance begins")
    parser.add_argument("--pace", type=float, default=0.02, help="seconds between two chunks")
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
