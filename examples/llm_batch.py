"""Run a file of chat requests against any provider that speaks OpenAI's protocol.

Each line of the file is one request: its body, or a line of OpenAI's Batch API::

    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    {"custom_id": "q2", "body": {"model": "gpt-4o-mini", "messages": [...], "max_tokens": 200}}

The answers are streamed. Limits on requests and tokens a minute hold, and what fails is tried
again. With --store everything is in one SQLite file: kill the run, and the same command goes on::

    pip install "lionpride-core[llm]"
    export OPENAI_API_KEY=...
    python examples/llm_batch.py requests.jsonl --output answers.jsonl --rpm 60 --tpm 90000 \\
        --store sqlite:///llm.db --price gpt-4o-mini=0.15/0.60

Another provider has its --base-url; one without keys takes any text. `Chat` is all that you need
in a program of your own: docs/howto/llm-batch.md shows it.
"""

import argparse
import asyncio
import json
import math
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, Self
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import ValidationError, field_validator

from lionpride import Event, EventStatus, Executor, Limit, RateLimited, Retry, Transition
from lionpride.errors import LionprideError

try:
    import httpx
    from rich.console import Console
    from rich.progress import BarColumn, Progress
except ImportError as missing:
    raise SystemExit(f'{missing}: pip install "lionpride-core[llm]" brings it') from missing

OPENAI = "https://api.openai.com/v1"


# ------------------------------------------------------------------------------- one chat request


class ApiError(Exception):
    """The provider has not answered: whether it may yet, and after how many seconds if it says."""

    def __init__(self, text: str, retryable: bool = True, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retryable, self.retry_after = retryable, retry_after


class NoEntry(ApiError):
    """A wrong key, or no credit left: no other request would be answered either."""


class Chat(Event):
    """A chat request. Its chunks are the pieces of the answer, then a dict that says how it ended.

    That dict has the `model`, the `finish_reason` and the `usage` that the provider counted.
    """

    custom_id: str = ""
    body: dict[str, Any]
    streaming: bool = True

    retry: ClassVar[Retry] = Retry(max_attempts=6, backoff=0.5)
    http: ClassVar[httpx.AsyncClient | None] = None
    longest: ClassVar[int] = 1000  # tokens of an answer whose request does not bound it

    @field_validator("body")
    @classmethod
    def _check(cls, body: dict[str, Any]) -> dict[str, Any]:
        if not body.get("model") or not body.get("messages"):
            raise ValueError("it needs a model and messages")
        if body.get("n", 1) != 1 or body.get("tools"):
            raise ValueError("n and tools are not for this example: an answer is one text")
        return body

    @property
    def costs(self) -> dict[str, int]:
        """What it may take of the limits: a token has three bytes or more, by experience."""
        sent = len(json.dumps(self.body["messages"], ensure_ascii=False).encode()) // 3
        return {"requests": 1, "tokens": sent + self.most}

    @property
    def most(self) -> int:
        """The tokens that its answer may have."""
        return self.body.get("max_completion_tokens") or self.body.get("max_tokens") or self.longest

    async def _stream(self) -> AsyncIterator[str | dict[str, Any]]:
        body = {**self.body, "stream": True, "stream_options": {"include_usage": True}}
        end: dict[str, Any] = {"model": body["model"], "finish_reason": None, "usage": None}
        pieces = 0
        name = {"X-Client-Request-Id": str(self.id)}
        async with self.client().stream("POST", "chat/completions", json=body, headers=name) as got:
            if got.status_code != 200:
                raise refusal(got, await got.aread())
            async for data in events_of(got):
                end["usage"] = data.get("usage") or end["usage"]
                for choice in data.get("choices") or ():
                    end["finish_reason"] = choice.get("finish_reason") or end["finish_reason"]
                    if text := (choice.get("delta") or {}).get("content"):
                        pieces += 1
                        self.progress(min(1.0, pieces / self.most), f"{pieces} tokens")
                        yield text
        if end["finish_reason"] is None:
            raise ApiError("the answer broke off")
        if end["usage"] is not None:
            self.spend(tokens=end["usage"]["total_tokens"])
        yield end

    @classmethod
    def client(cls) -> httpx.AsyncClient:
        """The connections of this process; made from the environment if nobody has set them."""
        if Chat.http is None:
            Chat.http = connect(os.environ.get("OPENAI_BASE_URL", OPENAI), api_key())
        return Chat.http


def answer(chat: Any) -> tuple[str, dict[str, Any]]:
    """The text of the answer to a chat that is COMPLETED, and how it ended."""
    *pieces, end = chat.response
    return "".join(pieces), end


# ------------------------------------------------------------------------------------ the protocol


def connect(base_url: str, key: str, stall: float = 60.0, most: int = 100) -> httpx.AsyncClient:
    """At most so many connections; one that is silent for ``stall`` seconds has failed."""
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=httpx.Timeout(stall, connect=10.0, pool=None),
        limits=httpx.Limits(max_connections=most, max_keepalive_connections=most),
    )


def api_key() -> str:
    """The API key of the environment."""
    if key := os.environ.get("OPENAI_API_KEY", "").strip():
        return key
    raise LionprideError(
        "there is no API key: export OPENAI_API_KEY=... (any text, if the provider asks for none)"
    )


async def events_of(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The data of each event of a stream."""
    async for line in response.aiter_lines():
        if not line.startswith("data:"):  # comments that keep the connection open; blank lines
            continue
        text = line.removeprefix("data:").strip()
        if text == "[DONE]":
            return
        data = json.loads(text)
        if data.get("error"):
            raise ApiError(f"within the answer: {data['error']}")
        yield data


def refusal(response: httpx.Response, content: bytes) -> Exception:
    """What a status other than 200 means; the body of the answer should say more."""
    try:
        error = json.loads(content)["error"]
        says, kind, code = error["message"], error.get("type"), error.get("code")
    except (ValueError, TypeError, KeyError, AttributeError):
        says, kind, code = content.decode(errors="replace")[:200], None, None
    status, wait = response.status_code, wait_of(response.headers)
    text = f"{status}: {says}"
    if status in (401, 402, 403) or code == "insufficient_quota":
        return NoEntry(text, retryable=False)
    if status == 429:
        limit = kind if kind in ("requests", "tokens") else None
        return RateLimited(text, retry_after=wait, limit=limit)
    return ApiError(text, retryable=status >= 500 or status in (408, 409), retry_after=wait)


def wait_of(headers: Mapping[str, str]) -> float | None:
    """How many seconds the provider asks to wait."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            wait = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= wait < math.inf:
            return wait
    return None


# -------------------------------------------------------------------------------------- in and out


def read(path: Path, model: str | None) -> dict[UUID, tuple[int, Chat]]:
    """The requests of a file, and the numbers of their lines, by ids that are the same each time.

    Raises:
        LionprideError: if a line is no request, or the same as another; it is named.
    """
    found: dict[UUID, tuple[int, Chat]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            if "body" not in fields:
                fields = {"body": fields}
            name = fields.get("custom_id") or f"line {number}"
            body = {"model": model, **fields["body"]} if model else fields["body"]
            same = uuid5(NAMESPACE_URL, f"{name} {json.dumps(body, sort_keys=True)}")
            chat = Chat(id=same, custom_id=name, body=body)
        except (ValueError, TypeError) as error:
            wrong = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise LionprideError(f"{path} line {number}: no request: {wrong}") from error
        if chat.id in found:
            raise LionprideError(f"{path} line {number} is the same as line {found[chat.id][0]}")
        found[chat.id] = (number, chat)
    if not found:
        raise LionprideError(f"{path} has no requests: write one JSON object a line")
    return found


def price(text: str) -> tuple[str, tuple[float, float]]:
    """A price of the command line: dollars for a million tokens in, and out."""
    try:
        model, both = text.rsplit("=", 1)
        given, made = map(float, both.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not as small=0.15/0.60 is") from None
    return model, (given, made)


class Report:
    """Counts what becomes of a run, and draws its bar on a terminal while it is entered."""

    def __init__(self, prices: dict[str, tuple[float, float]], total: int) -> None:
        self.answered = self.failed = self.again = self.tokens = 0
        self.cost = 0.0
        self._prices = prices
        self._unpriced: set[str] = set()
        self._began = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque([(self._began, 0)], maxlen=50)
        columns = ("{task.completed:,} of {task.total:,}", "{task.fields[note]}")
        console = Console(stderr=True)
        self._bar = Progress(
            BarColumn(None), *columns, console=console, expand=True, disable=not console.is_terminal
        )
        self._task = self._bar.add_task("", total=total, note="")

    def __enter__(self) -> Self:
        self._bar.start()
        self._drawing = asyncio.create_task(self._draw())
        return self

    def __exit__(self, *error: object) -> None:
        self._drawing.cancel()
        self._bar.stop()

    async def _draw(self) -> None:
        """Bring the bar up to date, until cancelled."""
        while True:
            self._marks.append((time.monotonic(), self.tokens))
            (then, before), (now, count) = self._marks[0], self._marks[-1]
            note = f"{(count - before) / (now - then):,.0f} tokens/s · ${self.cost:.4f}"
            if self.failed:
                note += f" · {self.failed:,} failed"
            done = self.answered + self.failed
            self._bar.update(self._task, completed=done, note=note)
            await asyncio.sleep(0.1)

    def step(self, step: Transition) -> None:
        """Hear of a step of a request."""
        chat: Any = step.event
        if step.before is EventStatus.PROCESSING and step.after is EventStatus.PENDING:
            self.again += 1
        elif step.after is EventStatus.COMPLETED and (usage := answer(chat)[1]["usage"]):
            self.tokens += usage["completion_tokens"] - (len(chat.response) - 1)

    def token(self, chat: Chat, progress: object) -> None:
        """Hear that there is another piece of an answer: one token, until they are counted."""
        self.tokens += 1

    def add(self, number: int, chat: Chat) -> dict[str, Any]:
        """Count a request that has ended; the line of JSON for it."""
        line = {"line": number, "custom_id": chat.custom_id, "status": chat.status.value}
        if chat.status is not EventStatus.COMPLETED:
            self.failed += 1
            error = chat.execution.error
            return {**line, "error": f"{type(error).__name__}: {error}"}
        text, end = answer(chat)
        self.answered += 1
        cost, pair, usage = None, self._prices.get(end["model"]), end["usage"]
        if pair and usage:
            cost = (usage["prompt_tokens"] * pair[0] + usage["completion_tokens"] * pair[1]) / 1e6
            self.cost += cost
        else:
            self._unpriced.add(end["model"])
        return {**line, "text": text, **end, "cost": cost, "failures": chat.execution.failure_count}

    def summary(self) -> str:
        """All of it in a line."""
        seconds = time.monotonic() - self._began
        unpriced = ", ".join(sorted(self._unpriced))
        return (
            f"{self.answered:,} answered, {self.failed:,} failed, {self.again:,} tried again; "
            f"{self.tokens:,} tokens in {seconds:.1f} s: {self.tokens / seconds:,.0f} tokens/s; "
            f"${self.cost:.4f}" + (f" (no --price for {unpriced})" if unpriced else "")
        )


# ----------------------------------------------------------------------------------------- the run


async def run(options: argparse.Namespace) -> int:
    """Run a file of requests; the exit status is 0 if all were answered, else 1."""
    chats = read(options.requests, options.model)
    client = connect(options.base_url, api_key(), options.stall, options.concurrency)
    per, most = options.per + options.margin, {"requests": options.rpm, "tokens": options.tpm}
    executor = Executor.of(
        Chat,
        concurrency_limit=options.concurrency,
        limits=[Limit(name, most[name], per=per) for name in most if most[name]],
        store=options.store,
        grace=5.0,
    )
    report = Report(dict(options.price), len(chats))
    with ExitStack() as stack:
        out = stack.enter_context(options.output.open("w")) if options.output else sys.stdout
        async with client as Chat.http, executor:
            executor.observe(report.step)
            executor.observe_progress(report.token)
            if options.retry_failed:
                await executor.retry_failed()
            stack.enter_context(report)
            source = (chat for _, chat in chats.values())
            async for chat in executor.map(source, ordered=False, exist_ok=True):
                line = report.add(chats[chat.id][0], chat)
                print(json.dumps(line, ensure_ascii=False), file=out, flush=True)
                if isinstance(error := chat.execution.error, NoEntry):
                    raise LionprideError(f"{error}; mend it, and go on with --retry-failed")
    print(report.summary(), file=sys.stderr)
    return 1 if report.failed else 0


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    url = os.environ.get("OPENAI_BASE_URL", OPENAI)
    new = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = new.add_argument
    add("requests", type=Path, help="the file: a JSON object a line")
    add("--output", type=Path, help="where answers go; default: standard output")
    add("--store", metavar="URL", help="keep everything in a file, as sqlite:///llm.db")
    add("--retry-failed", action="store_true", help="run again what has failed in the store")
    add("--base-url", metavar="URL", default=url, help="the provider; default: %(default)s")
    add("--model", help="for requests that name none")
    add("--rpm", type=int, help="requests a minute")
    add("--tpm", type=int, help="tokens a minute")
    add("--per", type=float, default=60.0, help="seconds of a minute, where a limit has others")
    add("--margin", type=float, default=1.0, help="seconds that the ways of requests differ by")
    add("--concurrency", type=int, default=20, help="requests at once; default: %(default)s")
    add("--stall", type=float, default=60.0, help="seconds of silence that end an attempt")
    add("--price", type=price, action="append", default=[], help="MODEL=IN/OUT, in $ a million")
    return new


def main() -> int:
    """Do what the command line says; the exit status."""
    options = parser().parse_args()
    try:
        return asyncio.run(run(options))
    except (LionprideError, OSError) as error:
        print(f"llm_batch: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        goes_on = "; the same command goes on" if options.store else ""
        print(f"llm_batch: interrupted{goes_on}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
