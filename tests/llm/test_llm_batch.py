"""examples/llm_batch.py on a real wire: every test talks to a provider on this machine."""

import asyncio
import os
import re
import subprocess
import sys
from contextlib import suppress

import pytest
from llm.batch import EXAMPLE, PRICE, Batch, done
from llm.faults import FAULTS, Plan
from llm.provider import Provider, answer_to

pytestmark = pytest.mark.guard(90)  # several processes, which start slowly where much else runs

PROMPTS = [f"question number {n} about lions" for n in range(40)]
STORE = ("--store", "sqlite:///llm.db")

LINE = re.compile(
    r"(?P<answered>[\d,]+) answered, (?P<failed>[\d,]+) failed, (?P<again>[\d,]+) tried again; "
    r"(?P<tokens>[\d,]+) tokens in [\d.]+ s: (?P<pace>[\d,]+) tokens/s; \$(?P<cost>[\d.]+)"
)


def summary(err: str) -> dict[str, float]:
    """The figures of the summary."""
    found = LINE.search(err)
    assert found, err
    return {name: float(value.replace(",", "")) for name, value in found.groupdict().items()}


def texts(lines) -> dict[int, str]:
    return {line["line"]: line["text"] for line in lines}


def right(prompts, most=40) -> dict[int, str]:
    """What the texts are to be, by the numbers of their lines."""
    return {number: answer_to(prompt, most) for number, prompt in enumerate(prompts, 1)}


def words(prompts) -> int:
    return sum(len(answer_to(prompt).split()) for prompt in prompts)


# ------------------------------------------------------------------------------------ it answers


async def test_every_request_is_answered_and_paid_for(tmp_path):
    batch = Batch(tmp_path, PROMPTS)
    async with Provider() as provider:
        run = await batch.run(provider, "--price", PRICE)
    assert run.status == 0, run.err
    assert texts(run.lines) == right(PROMPTS)
    assert all(line["finish_reason"] == "stop" for line in run.lines)
    figures = summary(run.err)
    assert figures["answered"] == 40
    assert figures["failed"] == figures["again"] == 0
    assert figures["tokens"] == words(PROMPTS)
    assert figures["pace"] > 0
    cost = sum(len(prompt.split()) + 3 for prompt in PROMPTS) * 2e-6 + words(PROMPTS) * 1e-5
    assert figures["cost"] == pytest.approx(cost, abs=1e-4)
    assert sum(line["cost"] for line in run.lines) == pytest.approx(cost)


async def test_tokens_are_those_that_the_provider_counted(tmp_path):
    batch = Batch(tmp_path, PROMPTS)
    async with Provider(words=4) as provider:
        run = await batch.run(provider)
    assert texts(run.lines) == right(PROMPTS)
    assert summary(run.err)["tokens"] == words(PROMPTS)


async def test_whatever_fails_is_tried_again(tmp_path):
    batch = Batch(tmp_path, PROMPTS)
    plan = Plan(seed=3, share=0.4)
    async with Provider(plan, retry_after=0.05) as provider:
        run = await batch.run(provider, "--stall", "0.5")
        fates = provider.fates()
    assert run.status == 0, run.err
    assert texts(run.lines) == right(PROMPTS)
    assert set(fates) == {"ok", *FAULTS}, "choose a seed that meets every fault"
    assert fates["ok"] == 40
    assert summary(run.err)["again"] == len(provider.log) - 40
    tries = {line["custom_id"]: line["failures"] for line in run.lines}
    assert (
        sum(tries.values()) == len(provider.log) - 40 - fates["429 requests"] - fates["429 tokens"]
    )


async def test_what_the_provider_will_never_answer_is_not_tried_again(tmp_path):
    batch = Batch(tmp_path, PROMPTS[:1])
    async with Provider(models=["large"]) as provider:
        run = await batch.run(provider)
    (line,) = run.lines
    assert (run.status, len(provider.log)) == (1, 1)
    assert line["status"] == "failed"
    assert "The model 'small' does not exist" in line["error"]


async def test_lines_of_a_batch_api_keep_their_names(tmp_path):
    batch = Batch(tmp_path, [])
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a question"}]}
    head = {"method": "POST", "url": "/v1/chat/completions"}
    batch.write({"custom_id": "first", **head, "body": body}, "", body)
    async with Provider(models=["tiny"]) as provider:
        run = await batch.run(provider)
    assert run.status == 0, run.err
    assert {line["line"]: line["custom_id"] for line in run.lines} == {1: "first", 3: "line 3"}
    assert {line["text"] for line in run.lines} == {answer_to("a question")}


# ---------------------------------------------------------------------------------- it holds limits


@pytest.mark.parametrize("limit", ["429 requests", "429 tokens"])
async def test_nothing_is_asked_while_the_provider_wants_a_pause(tmp_path, limit):
    batch = Batch(tmp_path, PROMPTS[:12])
    # What is on its way with it holds its slots until somebody has come who had to wait.
    plan = Plan({PROMPTS[0]: [limit], **{key: ["held 5"] for key in PROMPTS[1:4]}})
    options = ("--rpm", "1000", "--tpm", "1000000", "--concurrency", "4")
    async with Provider(plan, retry_after=0.7) as provider:
        run = await batch.run(provider, *options)
    assert run.status == 0, run.err
    assert texts(run.lines) == right(PROMPTS[:12])
    refused = next(each.refused for each in provider.log if each.refused)
    assert min(each.at for each in provider.log[4:]) >= refused + 0.7
    assert {line["failures"] for line in run.lines} == {0}


@pytest.mark.parametrize("store", [(), STORE], ids=["memory", "file"])
@pytest.mark.promise("llm-limits-are-exact")
async def test_no_window_is_exceeded_by_one_token(tmp_path, store):
    batch = Batch(tmp_path, PROMPTS[:30])
    limits = {"requests": 16, "tokens": 700}
    async with Provider(limits=limits, span=1.0, enforce=True) as provider:
        run = await batch.run(
            provider, "--rpm", "16", "--tpm", "700", "--per", "1", "--margin", "2", *store
        )
    assert run.status == 0, run.err
    assert texts(run.lines) == right(PROMPTS[:30])
    assert provider.fates() == {"ok": 30}, "the provider refused some"
    assert provider.worst("requests") <= 16
    assert provider.worst("tokens") <= 700


async def test_without_limits_the_provider_sees_them_exceeded(tmp_path):
    """The judge is awake: what the tests beside this one find is not just a slow client."""
    batch = Batch(tmp_path, PROMPTS)
    async with Provider() as provider:
        run = await batch.run(provider)
    assert run.status == 0, run.err
    assert provider.worst("requests") == 40
    assert provider.worst("tokens") > 700


async def test_a_provider_that_refuses_is_obeyed_until_all_is_answered(tmp_path):
    batch = Batch(tmp_path, PROMPTS)
    async with Provider(limits={"requests": 16}, span=1.5, enforce=True) as provider:
        run = await batch.run(provider, "--concurrency", "40")
    assert run.status == 0, run.err
    assert texts(run.lines) == right(PROMPTS)
    assert provider.fates()["429 requests"] > 0
    assert {line["failures"] for line in run.lines} == {0}


# ------------------------------------------------------------------------- it outlives its process


LIMITS = ("--rpm", "16", "--tpm", "1000", "--per", "1", "--margin", "2")


@pytest.mark.promise("llm-killed-run-resumes")
async def test_a_killed_run_goes_on_and_keeps_the_limits(tmp_path):
    batch = Batch(tmp_path, PROMPTS)
    options = (*STORE, *LIMITS, "--stall", "1")
    async with Provider(Plan(seed=3, share=0.3), span=1.0, pace=0.01) as provider:
        first = await batch.start(provider.url, *options)
        await provider.until(10)
        first.kill()
        killed = await done(first)
        run = await batch.run(provider, *options)
        sent = len(provider.log)
        again = await batch.run(provider, *options)
    assert killed.status < 0
    assert run.status == 0, run.err
    assert texts(run.lines) == texts(again.lines) == right(PROMPTS)
    assert provider.fates()["ok"] <= 40 + 20, "more was asked again than was on its way"
    assert len(provider.log) == sent
    assert provider.worst("requests") <= 16
    assert provider.worst("tokens") <= 1000
    records = batch.records()
    assert len(records) == 40
    assert {record["status"] for record in records} == {"completed"}


@pytest.mark.promise("llm-processes-share-limits")
async def test_two_processes_share_the_work_and_the_limits(tmp_path):
    batch = Batch(tmp_path, PROMPTS)
    async with Provider(span=1.0) as provider:
        both = [await batch.start(provider.url, *STORE, *LIMITS) for _ in range(2)]
        runs = await asyncio.gather(*map(done, both))
    assert [run.status for run in runs] == [0, 0], [run.err for run in runs]
    assert all(texts(run.lines) == right(PROMPTS) for run in runs)
    assert len(provider.log) == 40
    assert provider.worst("requests") <= 16
    assert provider.worst("tokens") <= 1000


async def test_what_has_failed_is_run_again_where_that_is_asked(tmp_path):
    batch = Batch(tmp_path, PROMPTS[:3])
    async with Provider(models=["large"]) as provider:
        assert (await batch.run(provider, *STORE)).status == 1
    async with Provider() as provider:
        assert (await batch.run(provider, *STORE)).status == 1
        assert not provider.log
        run = await batch.run(provider, *STORE, "--retry-failed")
    assert run.status == 0, run.err
    assert texts(run.lines) == right(PROMPTS[:3])


# ------------------------------------------------------------------------------------- it is plain


async def test_the_bar_shows_how_far_how_fast_and_how_dear(tmp_path):
    batch = Batch(tmp_path, PROMPTS)
    master, slave = os.openpty()
    async with Provider(pace=0.01) as provider:
        process = await batch.start(provider.url, "--price", PRICE, stderr=slave)
        os.close(slave)
        shown, run = await asyncio.gather(asyncio.to_thread(read_all, master), done(process))
    assert run.status == 0, shown
    drawn = BAR.findall(shown)
    assert any(0 < int(n) < 40 and pace != "0" and float(cost) for n, pace, cost in drawn), shown
    assert summary(shown)["answered"] == 40


BAR = re.compile(r"(\d+) of 40 +([\d,]+) tokens/s · \$([\d.]+)")


def read_all(terminal: int) -> str:
    """All that is written to a terminal until nobody has it open."""
    pieces = []
    with suppress(OSError):  # Linux says EIO then
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    os.close(terminal)
    return b"".join(pieces).decode(errors="replace")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: no request: Expecting property name"),
        ("[]", "line 2: no request"),
        ('{"messages": []}', "line 2: no request: Value error, it needs a model and messages"),
        ('{"messages": [{}], "n": 2}', "n and tools are not for this example"),
    ],
)
async def test_a_bad_line_is_named_before_anything_is_asked(tmp_path, line, says):
    batch = Batch(tmp_path, [])
    batch.write({"messages": [{"role": "user", "content": "good"}]}, line)
    async with Provider() as provider:
        run = await batch.run(provider)
    assert (run.status, provider.log) == (2, [])
    assert says in run.err
    assert len(run.err.splitlines()) == 1


async def test_a_run_without_a_key_a_file_or_requests_says_so(tmp_path):
    batch = Batch(tmp_path, ["hello"])
    async with Provider() as provider:
        keyless = await batch.run(provider, key="")
        batch.write()
        empty = await batch.run(provider)
        (tmp_path / "requests.jsonl").unlink()
        missing = await batch.run(provider)
    assert [run.status for run in (keyless, empty, missing)] == [2, 2, 2]
    assert "export OPENAI_API_KEY=" in keyless.err
    assert "has no requests" in empty.err
    assert "No such file or directory: 'requests.jsonl'" in missing.err
    assert not provider.log


async def test_a_wrong_key_ends_the_run_before_every_line_has_failed(tmp_path):
    batch = Batch(tmp_path, PROMPTS)
    async with Provider(key="right") as provider:
        run = await batch.run(provider, "--concurrency", "2", *STORE, key="wrong")
        assert run.status == 2
        assert "401: Incorrect API key" in run.err
        assert provider.turned_away < 10
        run = await batch.run(provider, *STORE, "--retry-failed", key="right")
    assert run.status == 0, run.err
    assert texts(run.lines) == right(PROMPTS)


async def test_an_order_that_no_limit_can_give_is_refused(tmp_path):
    batch = Batch(tmp_path, PROMPTS[:1], most=5000)
    async with Provider() as provider:
        run = await batch.run(provider, "--tpm", "1000")
    assert (run.status, provider.log) == (2, [])
    assert "tokens" in run.err


def test_without_httpx_it_says_what_to_install(tmp_path):
    (tmp_path / "httpx.py").write_text("raise ImportError(\"No module named 'httpx'\")")
    run = subprocess.run(
        [sys.executable, str(EXAMPLE), "--help"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert 'pip install "lionpride-core[llm]"' in run.stderr
    assert "Traceback" not in run.stderr


async def test_the_command_line_of_the_library_runs_it_too(tmp_path):
    batch = Batch(tmp_path, [])
    bodies = [
        {"model": "small", "messages": [{"role": "user", "content": prompt}]}
        for prompt in PROMPTS[:5]
    ]
    batch.write(*({"body": body} for body in bodies))
    async with Provider() as provider:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lionpride", "run", f"{EXAMPLE}:Chat"),
            *("--input", "requests.jsonl", "--output", "-", "--quiet"),
            cwd=tmp_path,
            env={**os.environ, "OPENAI_API_KEY": "any", "OPENAI_BASE_URL": provider.url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        run = await done(process)
    assert run.status == 0, run.err
    found = {line["line"]: "".join(line["response"][:-1]) for line in run.lines}
    assert found == right(PROMPTS[:5])
