"""The event class of examples/llm_batch.py in a program of one's own."""

import argparse
import importlib.util
import json
import sys

import httpx
import pytest
from llm.batch import EXAMPLE
from llm.faults import Plan
from llm.provider import Provider, answer_to

from lionpride import Executor, RateLimited


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("llm_batch", EXAMPLE)
    module = sys.modules["llm_batch"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["llm_batch"]


@pytest.fixture
def ask(example):
    """A chat request with a text."""

    def make(text: str, **fields):
        messages = [{"role": "user", "content": text}]
        return example.Chat(body={"model": "small", "messages": messages, **fields})

    return make


def response(status: int, content: object = b"", **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=body, headers=named)


async def test_a_chat_runs_by_itself(example, ask):
    async with Provider() as provider, example.connect(provider.url, "any") as example.Chat.http:
        chat = ask("hello")
        await chat.invoke()
    text, end = example.answer(chat)
    assert text == answer_to("hello")
    assert (end["model"], end["finish_reason"]) == ("small", "stop")
    assert end["usage"]["completion_tokens"] == len(text.split())


async def test_an_urgent_text_is_followed_while_it_is_made(example, ask):
    chats = [ask(f"question {n}") for n in range(20)]
    async with (
        Provider(pace=0.002) as provider,
        example.connect(provider.url, "any") as example.Chat.http,
        Executor.of(example.Chat, concurrency_limit=2) as executor,
    ):
        await executor.append_many(chats)
        urgent = await executor.append(ask("urgent"), priority=0)
        pieces, ended = [], []
        async for piece in executor.stream(urgent):
            pieces.append(piece)
            ended.append(urgent.status == "completed")
        await executor.join()
    *text, end = pieces
    assert "".join(text) == answer_to("urgent")
    assert end["finish_reason"] == "stop"
    assert not any(ended[:-1])
    assert [each.prompt for each in provider.log].index("urgent") <= 3
    assert all(
        example.answer(chat)[0] == answer_to(chat.body["messages"][0]["content"]) for chat in chats
    )


async def test_what_it_reserves_is_no_less_than_what_is_counted(example, ask):
    texts = ["hi", "one two three", "The quick brown fox jumps over it. " * 50, "中文字" * 100]
    async with Provider() as provider, example.connect(provider.url, "any") as example.Chat.http:
        for text in texts:
            chat = ask(text, max_tokens=30)
            await chat.invoke()
            _, end = example.answer(chat)
            assert chat.costs["requests"] == 1
            assert end["usage"]["total_tokens"] <= chat.costs["tokens"]


@pytest.mark.parametrize(
    ("fields", "longest"),
    [({}, 1000), ({"max_tokens": 7}, 7), ({"max_completion_tokens": 9, "max_tokens": None}, 9)],
)
def test_an_answer_is_reserved_at_its_longest(ask, fields, longest):
    text = ask("hello", **fields).costs["tokens"] - longest
    assert 10 < text < 20


@pytest.mark.parametrize("fate", ["cut", "error midway", "reset midway"])
async def test_half_an_answer_is_a_failure_and_not_an_answer(example, ask, fate):
    plan = Plan({"hello": [fate]})
    async with Provider(plan) as provider, example.connect(provider.url, "x") as example.Chat.http:
        chat = ask("hello")
        await chat.invoke()
    assert chat.status == "failed"
    assert chat.execution.retryable


@pytest.mark.parametrize(
    ("status", "code", "retryable", "fatal"),
    [
        (400, None, False, False),
        (401, "invalid_api_key", False, True),
        (402, None, False, True),
        (404, "model_not_found", False, False),
        (408, None, True, False),
        (429, "insufficient_quota", False, True),
        (500, None, True, False),
        (503, None, True, False),
    ],
)
def test_what_a_status_means(example, status, code, retryable, fatal):
    content = {"error": {"message": "so it is", "type": "some_error", "code": code}}
    found = example.refusal(answer := response(status, content), answer.content)
    assert isinstance(found, example.ApiError)
    assert (found.retryable, isinstance(found, example.NoEntry)) == (retryable, fatal)
    assert str(found) == f"{status}: so it is"


@pytest.mark.parametrize(
    ("kind", "limit"), [("tokens", "tokens"), ("requests", "requests"), ("other", None)]
)
def test_a_429_names_the_limit_that_it_is_about(example, kind, limit):
    answer = response(429, {"error": {"message": "slowly", "type": kind}}, retry_after="7")
    found = example.refusal(answer, answer.content)
    assert isinstance(found, RateLimited)
    assert (found.limit, found.retry_after) == (limit, 7.0)


@pytest.mark.parametrize("content", [b"", b"<html>Bad Gateway</html>", b"[]", b'{"error": "no"}'])
def test_an_answer_in_no_known_shape_is_shown_as_it_is(example, content):
    found = example.refusal(response(502, content), content)
    assert str(found) == f"502: {content.decode()}"
    assert found.retryable


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry_after": "2"}, 2.0),
        ({"retry_after": "20", "retry_after_ms": "250"}, 0.25),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "nan"}, None),
    ],
)
def test_how_long_the_provider_asks_to_wait(example, headers, wait):
    assert example.wait_of(response(429, b"", **headers).headers) == wait


def test_a_price(example):
    assert example.price("a=b/small=0.15/0.6") == ("a=b/small", (0.15, 0.6))
    for text in ("small", "small=1", "small=1/2/3", "small=a/b"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not as"):
            example.price(text)
