"""Traces, with the real SDK: an append and each of its attempts are one trace."""

from pathlib import Path
from typing import Any

import pytest
from engine.kit import Job, answers, raises
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from otel.kit import KINDS, Desk, Plain, QuickDesk, Seen

from lionpride.core import Executor, Retry, Skip
from lionpride.errors import ExistsError, ValidationError
from lionpride.otel import instrument


async def traced(*jobs: Any, seen: Seen, kind: type[Executor] = Desk, **how: Any) -> Executor:
    executor = kind({"denial_backoff": 0.001})
    instrument(executor, **seen.providers(), metrics=False, **how)
    async with executor:
        for job in jobs:
            await executor.append(job, retry=Retry(attempts=2, backoff=0.001))
        await executor.join()
    return executor


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_an_attempt_is_a_child_of_its_append_and_linked_to_it() -> None:
    seen, job = Seen(), Job()
    executor = await traced(job, seen=seen)
    append, attempt = seen.spans()
    queue = executor.store.queue
    assert (append.name, attempt.name) == (f"append {queue}", f"process {queue}")
    assert (append.kind, attempt.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert attempt.parent is not None
    assert (attempt.parent.trace_id, attempt.parent.span_id) == ids(append)
    assert [(link.context.trace_id, link.context.span_id) for link in attempt.links] == [
        ids(append)
    ]
    assert attributes(append) == {
        "messaging.system": "lionpride",
        "messaging.destination.name": queue,
        "messaging.operation.name": "append",
        "messaging.operation.type": "send",
        "messaging.message.id": str(job.id),
        "lionpride.event.class": "engine.kit.Job",
    }
    said = attributes(attempt)
    assert said.pop("lionpride.event.queue_wait") >= 0
    assert said == attributes(append) | {
        "messaging.operation.name": "attempt",
        "messaging.operation.type": "process",
        "lionpride.event.attempt": 1,
    }
    assert attempt.status.status_code is StatusCode.UNSET


async def test_the_span_is_current_within_the_code_of_the_event() -> None:
    async def do(event: Job) -> int:
        with seen.traces.get_tracer("users own").start_as_current_span("inner"):
            return trace.get_current_span().get_span_context().trace_id

    seen, job = Seen(), Job(do=do)
    await traced(job, seen=seen)
    (inner,), (attempt,) = seen.spans("inner"), seen.spans("process")
    assert inner.parent is not None
    assert (inner.parent.trace_id, inner.parent.span_id) == ids(attempt)
    assert job.response == ids(attempt)[0]
    assert not trace.get_current_span().get_span_context().is_valid


async def test_each_attempt_is_a_span_with_its_error() -> None:
    seen = Seen()
    await traced(Job(do=raises(ValueError("no luck"))), seen=seen)
    (append,), attempts = seen.spans("append"), seen.spans("process")
    assert [attributes(each)["lionpride.event.attempt"] for each in attempts] == [1, 2]
    assert {ids(each)[0] for each in attempts} == {ids(append)[0]}
    for each in attempts:
        assert each.status.status_code is StatusCode.ERROR
        assert each.status.description == "ValueError: no luck"
        assert attributes(each)["error.type"] == "ValueError"
        (recorded,) = each.events
        assert recorded.name == "exception"


async def test_a_skip_is_not_an_error_and_a_denial_is_not_an_attempt() -> None:
    seen = Seen()
    await traced(Job(do=raises(Skip("nothing to do")), ask=answers(False, True)), seen=seen)
    (attempt,) = seen.spans("process")
    assert attempt.status.status_code is StatusCode.UNSET
    assert attributes(attempt)["lionpride.event.ended"] == "Skip: nothing to do"
    assert not attempt.events


async def test_the_append_is_a_child_of_the_current_span() -> None:
    seen = Seen()
    with seen.traces.get_tracer("users own").start_as_current_span("request") as request:
        await traced(Job(), seen=seen)
    (append,) = seen.spans("append")
    assert append.parent is not None
    assert append.parent.span_id == request.get_span_context().span_id


async def test_the_span_of_a_refused_append_has_the_error() -> None:
    seen = Seen()
    executor, job = Desk(), Job()
    instrument(executor, **seen.providers(), metrics=False)
    await executor.append(job)
    with pytest.raises(ExistsError):
        await executor.append(job)
    assert [each.status.status_code for each in seen.spans("append")] == [
        StatusCode.UNSET,
        StatusCode.ERROR,
    ]


async def test_a_batch_has_a_span_for_each_of_its_events() -> None:
    seen = Seen()
    executor = QuickDesk()
    instrument(executor, **seen.providers(), metrics=False)
    jobs = [Plain() for _ in range(5)]
    async with executor:
        await executor.append_many(jobs)
        await executor.join()
    spans = {attributes(each)["messaging.message.id"]: ids(each) for each in seen.spans("append")}
    assert spans.keys() == {str(job.id) for job in jobs}
    for each in seen.spans("process"):
        assert each.parent is not None
        assert each.parent.span_id == spans[attributes(each)["messaging.message.id"]][1]


async def test_the_context_travels_with_the_event_from_process_to_process(tmp_path: Path) -> None:
    url, producer, consumer = f"sqlite:///{tmp_path}/run.db", Seen(), Seen()
    here = Desk(store=url)
    instrument(here, **producer.providers(), metrics=False)
    job = await here.append(Job())
    await here.store.close()
    there = Desk(store=url)
    instrument(there, **consumer.providers(), metrics=False, sample=0)
    async with there:
        await there.join()
    (append,), (attempt,) = producer.spans(), consumer.spans()
    assert attempt.parent is not None
    assert (attempt.parent.trace_id, attempt.parent.span_id) == ids(append)
    assert attempt.links[0].context.trace_id == ids(append)[0]
    assert attributes(attempt)["messaging.message.id"] == str(job.id)


@pytest.mark.parametrize(("kind", "made"), KINDS)
async def test_an_event_that_is_not_sampled_has_no_span_and_no_metadata(
    kind: type[Executor], made: Any
) -> None:
    seen, jobs = Seen(), [made() for _ in range(20)]
    await traced(*jobs, seen=seen, kind=kind, sample=0)
    assert seen.spans() == []
    assert not any(job.metadata for job in jobs)


async def test_a_sampled_event_has_all_its_spans() -> None:
    seen = Seen()
    executor = QuickDesk()
    instrument(executor, **seen.providers(), metrics=False, sample=0.5)
    async with executor:
        for _ in range(200):
            await executor.append(Plain())
        await executor.join()
    appends, attempts = seen.spans("append"), seen.spans("process")
    assert 50 < len(appends) < 150
    assert {ids(each)[0] for each in appends} == {ids(each)[0] for each in attempts}
    assert len(attempts) == len(appends)


async def test_events_appended_within_a_sampled_span_are_always_traced() -> None:
    seen = Seen()
    with seen.traces.get_tracer("users own").start_as_current_span("request"):
        await traced(Plain(), seen=seen, kind=QuickDesk, sample=0)
    assert len(seen.spans("append")) == len(seen.spans("process")) == 1


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBased(TraceIdRatioBased(0.0))])
async def test_the_sampler_of_the_sdk_applies_too(sampler: Any) -> None:
    seen, job = Seen(sampler=sampler), Job()
    await traced(job, seen=seen)
    assert seen.spans() == []
    flags = int(job.metadata["traceparent"].rpartition("-")[2], 16)
    assert not flags & 1, "who runs it knows that it is not sampled"


async def test_without_an_sdk_nothing_is_recorded() -> None:
    executor, job = Desk(), Job(label="x")
    instrument(executor)
    await executor.append(job)
    await executor.forward()
    assert job.response == "x"
    assert not job.metadata
    assert executor.observers.failures == 0


async def test_nothing_is_traced_after_stop() -> None:
    seen, executor = Seen(), Desk()
    stop = instrument(executor, **seen.providers())
    stop()
    await executor.append(Job())
    await executor.forward()
    assert seen.spans() == []
    assert not executor.observers.level


@pytest.mark.parametrize("sample", [-0.1, 1.1, float("nan")])
def test_a_sample_is_between_zero_and_one(sample: float) -> None:
    with pytest.raises(ValidationError, match="sample"):
        instrument(Desk(), sample=sample)
