"""The provider speaks the protocol: what a client of it may rely on."""

import asyncio
import json

import httpx
import pytest
from llm.faults import Plan
from llm.provider import Provider, answer_to
from llm.windows import worst

KEY = {"authorization": "Bearer any"}


def asks(prompt: str, **fields) -> dict:
    return {"model": "small", "messages": [{"role": "user", "content": prompt}], **fields}


def client(provider: Provider) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=provider.url, headers=KEY, trust_env=False)


async def ask(provider: Provider, prompt: str = "hello", **fields) -> httpx.Response:
    async with client(provider) as http:
        return await http.post("/chat/completions", json=asks(prompt, **fields))


def events_of(answer: httpx.Response) -> list:
    """The data of the events of a stream."""
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def text_of(events: list) -> str:
    choices = [choice for event in events if event != "[DONE]" for choice in event["choices"]]
    return "".join(choice["delta"].get("content", "") for choice in choices)


async def test_a_whole_answer():
    async with Provider() as provider:
        answer = (await ask(provider, "two words")).json()
    (choice,) = answer["choices"]
    assert choice["message"]["content"] == answer_to("two words")
    assert choice["finish_reason"] == "stop"
    assert answer["usage"]["prompt_tokens"] == 5
    assert answer["usage"]["completion_tokens"] == len(answer_to("two words").split())


async def test_an_answer_is_no_longer_than_asked_for():
    async with Provider() as provider:
        answer = (await ask(provider, max_tokens=3)).json()
    assert answer["usage"]["completion_tokens"] == 3


async def test_a_streamed_answer_ends_with_its_usage():
    async with Provider() as provider:
        answer = await ask(provider, stream=True, stream_options={"include_usage": True})
    events = events_of(answer)
    assert answer.headers["content-type"] == "text/event-stream"
    assert text_of(events) == answer_to("hello")
    assert events[-1] == "[DONE]"
    assert (events[-2]["choices"], events[-2]["usage"]["prompt_tokens"]) == ([], 4)
    assert events[-3]["choices"][0]["finish_reason"] == "stop"
    assert {event["usage"] for event in events[:-2]} == {None}


async def test_usage_comes_only_where_it_is_asked_for():
    async with Provider() as provider:
        events = events_of(await ask(provider, stream=True))
    assert not any("usage" in event for event in events[:-1])


async def test_one_connection_serves_several_requests():
    async with Provider() as provider, client(provider) as http:
        for stream in (True, False, True):
            answer = await http.post("/chat/completions", json=asks("again", stream=stream))
            assert answer.status_code == 200
    assert len(provider.log) == 3


@pytest.mark.parametrize(
    ("path", "key", "body", "status"),
    [
        ("/chat/completions", "Bearer wrong", asks("a"), 401),
        ("/chat/completions", "", asks("a"), 401),
        ("/completions", "Bearer right", asks("a"), 404),
        ("/chat/completions", "Bearer right", {"model": "small"}, 400),
    ],
)
async def test_what_cannot_be_answered_is_refused(path, key, body, status):
    async with Provider(key="right") as provider, client(provider) as http:
        answer = await http.post(path, json=body, headers={"authorization": key})
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert not provider.log


@pytest.mark.parametrize("fate", ["429 requests", "429 tokens"])
async def test_a_planned_429_says_which_limit_and_how_long(fate):
    async with Provider(Plan({"hello": [fate]}), retry_after=1.25) as provider:
        answer, again = await ask(provider), await ask(provider)
    assert (answer.status_code, again.status_code) == (429, 200)
    assert answer.json()["error"]["type"] == fate.removeprefix("429 ")
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["retry-after-ms"] == "1250"
    assert provider.fates() == {fate: 1, "ok": 1}


@pytest.mark.parametrize("status", [500, 503])
async def test_a_planned_failure(status):
    async with Provider(Plan({"hello": [str(status)]})) as provider:
        answer = await ask(provider)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("fate", "error"),
    [
        ("stall", httpx.ReadTimeout),
        ("stall midway", httpx.ReadTimeout),
        ("reset", httpx.ReadError),
        ("reset midway", httpx.ReadError),
    ],
)
async def test_a_connection_that_fails(fate, error):
    async with Provider(Plan({"hello": [fate]})) as provider, client(provider) as http:
        with pytest.raises(error):
            await http.post("/chat/completions", json=asks("hello", stream=True), timeout=0.2)
    assert not provider.log[0].served


@pytest.mark.parametrize("fate", ["cut", "error midway"])
async def test_a_stream_that_ends_too_early(fate):
    async with Provider(Plan({"hello": [fate]})) as provider:
        events = events_of(await ask(provider, stream=True))
    assert events[-1] != "[DONE]"
    assert ("error" in events[-1]) == (fate == "error midway")


async def test_an_answer_may_be_held_until_others_have_arrived():
    async with Provider(Plan({"first": ["held 2"]})) as provider:
        first = asyncio.create_task(ask(provider, "first", stream=True))
        await provider.arrived(1)
        assert text_of(events_of(await ask(provider, "second", stream=True)))
        assert text_of(events_of(await first)) == answer_to("first")


async def test_what_exceeds_a_limit_is_refused():
    async with Provider(limits={"requests": 2}, enforce=True) as provider:
        answers = [await ask(provider) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
    assert answers[0].headers["x-ratelimit-remaining-requests"] == "1"
    assert answers[1].headers["x-ratelimit-remaining-requests"] == "0"
    assert 0 < int(answers[2].headers["retry-after-ms"]) <= 60_000
    assert provider.worst("requests") == 3


async def test_a_limit_opens_when_the_oldest_has_left_the_window():
    async with Provider(limits={"requests": 1}, span=0.2, enforce=True) as provider:
        while provider.fates()["ok"] < 3:
            answer = await ask(provider)
            await asyncio.sleep(int(answer.headers.get("retry-after-ms", 0)) / 1000)
    entered = [each.at for each in provider.log if each.fate == "ok"]
    assert worst([(at, 1) for at in entered], 0.2) == 1


async def test_a_limit_on_tokens_is_enforced_too():
    tokens = 4 + len(answer_to("hello").split())
    async with Provider(limits={"tokens": tokens}, enforce=True) as provider:
        answers = [await ask(provider) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json()["error"]["type"] == "tokens"
    assert provider.worst("tokens") == 2 * tokens


async def test_the_log_has_what_came_and_waits_for_what_goes_out():
    async with Provider(pace=0.001) as provider, client(provider) as http:
        posts = [http.post("/chat/completions", json=asks(text, stream=True)) for text in "abc"]
        await asyncio.gather(provider.until(3), *posts)
    assert sorted(arrival.prompt for arrival in provider.log) == ["a", "b", "c"]
    assert all(arrival.served for arrival in provider.log)
    assert [each.at for each in provider.log] == sorted(each.at for each in provider.log)
