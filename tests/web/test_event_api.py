"""Events over HTTP: routes of Starlette, and the router of FastAPI, over real connections."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from pydantic import SecretStr, field_validator
from starlette.applications import Starlette
from starlette.routing import Mount
from web.kit import served

from lionpride import ConfigurationError, Event, Executor, OperationError, Then, current, job, web
from lionpride.stores.memory import MemoryStore
from lionpride.testing import faults as fault
from lionpride.web.fastapi import CurrentExecutor, router
from tools.postgres_server import Server


@job
async def add(left: int, right: int = 1) -> int:
    """Adds two numbers."""
    return left + right


@job
async def fail(message: str) -> int:
    raise ValueError(message)


class Held(Event):
    """Runs until the gate of the test opens."""

    gate: ClassVar[asyncio.Event]
    day: date = date(2026, 1, 1)
    password: SecretStr = SecretStr("none")

    @field_validator("day")
    @classmethod
    def _in_this_century(cls, value: date) -> date:
        if value.year < 2000:
            raise ValueError("day must be in this century")
        return value

    async def _invoke(self) -> dict[str, Any]:
        current().report_progress(0.5, "half")
        await self.gate.wait()
        return {"day": self.day, "password": self.password}


class Words(Event):
    """Yields the texts that the test puts into its queue."""

    line: ClassVar[asyncio.Queue[str]]
    streaming: bool = True

    async def _stream(self) -> AsyncIterator[str]:
        while word := await self.line.get():
            yield word


@job
async def begin(number: int) -> Any:
    return Then(add(number))


@job
async def private(number: int) -> int:
    return number


KINDS: tuple[Any, ...] = (add, fail, Held, Words, begin)


def starlette_app(executor: Executor, **options: Any) -> Starlette:
    routes = [Mount("/jobs", routes=web.routes(executor, *KINDS, public=True, **options))]
    return Starlette(routes=routes, lifespan=web.lifespan(executor, run="here"))


def fastapi_app(executor: Executor, **options: Any) -> FastAPI:
    app = FastAPI(lifespan=web.lifespan(executor, run="here"))
    app.include_router(router(executor, *KINDS, public=True, **options), prefix="/jobs")
    return app


@pytest.fixture(params=["starlette", "fastapi"])
def make_app(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return {"starlette": starlette_app, "fastapi": fastapi_app}[request.param]


def executor_of(store: Any = None, **settings: Any) -> Executor:
    Held.gate, Words.line = asyncio.Event(), asyncio.Queue()
    return Executor.of(*KINDS, private, queue="jobs", store=store, grace=0.0, **settings)


@asynccontextmanager
async def client_of(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=f"{url}/jobs", timeout=20.0) as client,
    ):
        yield client


async def messages(response: httpx.Response) -> AsyncIterator[tuple[str, str | None, Any]]:
    """The name, the id and the data of each server-sent event; a comment is a name alone."""
    found: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line and not name:
            yield value, None, None
        elif line:
            found[name] = value
        elif "event" in found:
            yield found["event"], found.get("id"), json.loads(found["data"])
            found = {}
        else:
            found = {}


# ------------------------------------------------------------------------------ submit and read


async def test_an_event_is_submitted_and_read_as_plain_json(make_app: Callable[..., Any]) -> None:
    executor = executor_of()
    async with client_of(make_app(executor)) as client:
        answer = await client.post("/add?wait=10", json={"left": 2, "right": 3})
        assert answer.status_code == 201
        uid = answer.json()["id"]
        assert answer.headers["location"] == f"/jobs/add/{uid}"
        expected = {"id": uid, "status": "completed", "progress": None, "result": 5, "error": None}
        assert answer.json() == expected
        read = await client.get(f"/add/{uid}")
        assert (read.status_code, read.json()) == (200, expected)


async def test_an_event_that_runs_is_accepted_and_shows_its_progress(
    make_app: Callable[..., Any],
) -> None:
    executor = executor_of()
    async with client_of(make_app(executor)) as client:
        answer = await client.post("/Held", json={"day": "2026-02-03", "password": "secret"})
        assert answer.status_code == 202
        path = answer.headers["location"].removeprefix("/jobs")
        progress = aiter(executor.progress(answer.json()["id"]))
        await anext(progress)
        state = (await client.get(path)).json()
        assert state["status"] == "processing"
        assert state["progress"] == {"fraction": 0.5, "note": "half"}
        Held.gate.set()
        state = (await client.get(path, params={"wait": 10})).json()
        assert state["result"]["day"] == "2026-02-03"
        assert "secret" not in str(state)


async def test_a_failure_shows_its_error_and_no_traceback(make_app: Callable[..., Any]) -> None:
    async with client_of(make_app(executor_of())) as client:
        state = (await client.post("/fail?wait=10", json={"message": "no"})).json()
        assert state["status"] == "failed"
        assert state["error"] == {"type": "ValueError", "message": "no"}
        assert state.keys() == {"id", "status", "progress", "result", "error"}


async def test_an_event_shows_the_result_of_what_continues_it(
    make_app: Callable[..., Any],
) -> None:
    async with client_of(make_app(executor_of())) as client:
        state = (await client.post("/begin?wait=10", json={"number": 4})).json()
        assert (state["status"], state["result"]) == ("completed", 5)


@pytest.mark.parametrize(
    ("name", "body", "location"),
    [
        pytest.param("add", {"left": "x"}, ["body", "left"], id="a wrong value"),
        pytest.param("add", {}, ["body", "left"], id="a missing field"),
        pytest.param("add", {"left": 1, "timeout": 9}, ["body", "timeout"], id="a setting"),
        pytest.param("add", {"left": 1, "id": str(uuid4())}, ["body", "id"], id="an id"),
        pytest.param("Held", {"day": "1999-01-01"}, ["body", "day"], id="a validator"),
    ],
)
async def test_wrong_fields_are_named(
    make_app: Callable[..., Any], name: str, body: dict[str, Any], location: list[str]
) -> None:
    executor = executor_of()
    async with client_of(make_app(executor)) as client:
        answer = await client.post(f"/{name}", json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == location
    assert not executor.states.items


async def test_a_body_that_is_not_json_is_refused(make_app: Callable[..., Any]) -> None:
    async with client_of(make_app(executor_of())) as client:
        headers = {"Content-Type": "application/json"}
        assert (await client.post("/add", content=b"{", headers=headers)).status_code == 422


async def test_a_body_that_is_no_json_by_its_type_is_refused(make_app: Callable[..., Any]) -> None:
    executor = executor_of()
    async with client_of(make_app(executor)) as client:
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "x/json"):
            headers = {"Content-Type": content_type}
            answer = await client.post("/add", content=b'{"left": 1}', headers=headers)
            assert answer.status_code in (415, 422)
        headers = {"Content-Type": "application/vnd.api+json; charset=utf-8"}
        answer = await client.post("/add", content=b'{"left": 1}', headers=headers)
        assert answer.status_code == 202
    assert len(executor.states.items) == 1


async def test_a_body_that_is_too_large_is_refused(make_app: Callable[..., Any]) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    executor = executor_of()
    async with client_of(make_app(executor, max_body=1000)) as client:
        for large in ({"json": {"message": "x" * 1000}}, {"content": parts()}):
            answer = await client.post("/fail", **large)  # type: ignore[arg-type]
            assert answer.status_code == 413
            assert answer.json() == {"detail": "A body may have 1000 bytes."}
        assert (await client.post("/fail", json={"message": "x" * 900})).status_code == 202
    assert len(executor.states.items) == 1


@pytest.mark.parametrize("number", ["NaN", "1e400"])
async def test_a_number_that_is_not_finite_is_refused(
    make_app: Callable[..., Any], number: str
) -> None:
    async with client_of(make_app(executor_of())) as client:
        headers = {"Content-Type": "application/json"}
        body = f'{{"left": {number}}}'
        answer = await client.post("/add", content=body, headers=headers)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "left"]


async def test_a_refused_body_is_not_shown(make_app: Callable[..., Any]) -> None:
    async with client_of(make_app(executor_of())) as client:
        body = {"day": "2026-01-01", "password": ["top secret"]}
        answer = await client.post("/Held", json=body)
        assert answer.status_code == 422
        assert "secret" not in answer.text


async def test_text_that_is_no_utf8_is_shown_escaped(make_app: Callable[..., Any]) -> None:
    executor = executor_of()
    async with client_of(make_app(executor)) as client:
        Words.line.put_nowait("caf\udce9")
        Words.line.put_nowait("")
        uid = (await client.post("/Words")).json()["id"]
        answer = await client.get(f"/Words/{uid}?wait=10")
        assert answer.json()["result"] == ["caf\udce9"]
        assert '"caf\\udce9"' in (await client.get(f"/Words/{uid}/stream")).text
        failed = await executor.append(fail("caf\udce9"))
        state = (await client.get(f"/fail/{failed.id}?wait=10")).json()
        assert state["error"]["message"] == "caf\udce9"


async def test_an_event_without_required_fields_needs_no_body(
    make_app: Callable[..., Any],
) -> None:
    async with client_of(make_app(executor_of())) as client:
        assert (await client.post("/Held")).status_code == 202


@pytest.mark.parametrize("wait", ["-1", "31", "nan", "soon"])
async def test_a_wait_out_of_bounds_is_refused(make_app: Callable[..., Any], wait: str) -> None:
    async with client_of(make_app(executor_of())) as client:
        assert (await client.get(f"/add/{uuid4()}", params={"wait": wait})).status_code == 422


async def test_only_events_of_the_named_type_are_found(make_app: Callable[..., Any]) -> None:
    executor = executor_of()
    async with client_of(make_app(executor)) as client:
        other = await executor.append(private(1))
        for uid in (uuid4(), other.id, "x"):
            for method, rest in (("GET", ""), ("GET", "/stream"), ("POST", "/cancel")):
                answer = await client.request(method, f"/add/{uid}{rest}")
                assert answer.status_code in ((422, 404) if uid == "x" else (404,))
        assert (await client.post("/private", json={"number": 1})).status_code == 404


async def test_a_repeated_request_returns_the_first_event(make_app: Callable[..., Any]) -> None:
    async with client_of(make_app(executor_of())) as client:
        headers = {"Idempotency-Key": "order-7"}
        first = await client.post("/add?wait=10", json={"left": 1}, headers=headers)
        again = await client.post("/add", json={"left": 1}, headers=headers)
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.headers["location"] == first.headers["location"]
        other = await client.post("/add", json={"left": 2}, headers=headers)
        assert other.status_code == 409
        assert "order-7" in other.json()["detail"]
        long = await client.post("/add", json={"left": 1}, headers={"Idempotency-Key": "x" * 201})
        assert long.status_code == 422


async def test_a_full_queue_asks_the_client_to_come_later(make_app: Callable[..., Any]) -> None:
    executor = executor_of(max_queue_size=1, concurrency_limit=1)
    async with client_of(make_app(executor, retry_after=7)) as client:
        running = await client.post("/Held")
        await anext(aiter(executor.progress(running.json()["id"])))
        assert (await client.post("/Held")).status_code == 202
        full = await client.post("/Held")
        assert (full.status_code, full.headers["retry-after"]) == (503, "7")


async def test_a_store_that_fails_is_503(make_app: Callable[..., Any]) -> None:
    faults = fault.Faults(fault.fail("append"), fault.fail("get"))
    executor = executor_of(faults.around(MemoryStore("jobs")))
    async with client_of(make_app(executor)) as client:
        for answer in (
            await client.post("/add", json={"left": 1}),
            await client.get(f"/add/{uuid4()}"),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "injected" not in answer.text


async def ended(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """The state of an event that has finished, however often that has to be asked."""
    while True:
        answer = await client.get(f"{path}?wait=10")
        if answer.status_code == 200 and answer.json()["status"] in ("completed", "failed"):
            found: dict[str, Any] = answer.json()
            return found
        assert answer.status_code in (200, 503)


@pytest.mark.guard(90)
async def test_events_run_again_after_an_outage_of_the_database(
    make_app: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with Server() as database:
        executor = executor_of(f"{database.url}&lionpride_patience=0.5")
        async with client_of(make_app(executor)) as client:
            uid = (await client.post("/Held")).json()["id"]
            await anext(aiter(executor.progress(uid)))
            database.stop("immediate")
            while "the events run again in" not in caplog.text:
                for answer in await asyncio.gather(
                    client.post("/add", json={"left": 1}),
                    client.get(f"/Held/{uid}"),
                    client.get(f"/Held/{uid}/stream"),
                    client.post(f"/Held/{uid}/cancel"),
                ):
                    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
                    assert "postgres" not in answer.text
            database.start()
            Held.gate.set()
            assert (await ended(client, f"/Held/{uid}"))["status"] == "completed"
            added = await client.post("/add", json={"left": 1})
            assert (await ended(client, f"/add/{added.json()['id']}"))["result"] == 2


# --------------------------------------------------------------------------------------- cancel


async def test_an_event_is_cancelled_once(make_app: Callable[..., Any]) -> None:
    executor = executor_of()
    async with client_of(make_app(executor)) as client:
        uid = (await client.post("/Held")).json()["id"]
        await anext(aiter(executor.progress(uid)))
        assert (await client.post(f"/Held/{uid}/cancel")).status_code in (200, 202)
        state = (await client.get(f"/Held/{uid}?wait=10")).json()
        assert state["status"] == "cancelled"
        assert state["error"]["type"] == "EventCancelledError"
        assert (await client.post(f"/Held/{uid}/cancel")).status_code == 200
        done = (await client.post("/add?wait=10", json={"left": 1})).json()["id"]
        assert (await client.post(f"/add/{done}/cancel")).status_code == 409


# ---------------------------------------------------------------------------------- disconnects


async def until_no_task(*names: str) -> None:
    """Wait until no task runs a coroutine of one of these names."""
    while any(name in repr(task.get_coro()) for task in asyncio.all_tasks() for name in names):
        await asyncio.sleep(0)


async def test_a_wait_ends_with_its_client(make_app: Callable[..., Any]) -> None:
    executor = executor_of()
    async with client_of(make_app(executor)) as client:
        uid = (await client.post("/Held")).json()["id"]
        waiting = asyncio.create_task(client.get(f"/Held/{uid}?wait=30"))
        while not any("_finished" in repr(each.get_coro()) for each in asyncio.all_tasks()):
            await asyncio.sleep(0)
        waiting.cancel()
        await until_no_task("Operations._finished", "disconnected")


async def test_a_wait_ends_when_the_server_stops(make_app: Callable[..., Any]) -> None:
    executor = executor_of()
    async with httpx.AsyncClient(timeout=20.0) as client:
        async with served(make_app(executor)) as url:
            uid = (await client.post(f"{url}/jobs/Held")).json()["id"]
            await anext(aiter(executor.progress(uid)))
            waiting = asyncio.create_task(client.get(f"{url}/jobs/Held/{uid}?wait=30"))
            while not any("_finished" in repr(each.get_coro()) for each in asyncio.all_tasks()):
                await asyncio.sleep(0)
        answer = await waiting
        assert (answer.status_code, answer.json()["status"]) == (200, "processing")


async def test_a_stream_ends_with_its_client(make_app: Callable[..., Any]) -> None:
    executor = executor_of()
    async with client_of(make_app(executor)) as client:
        uid = (await client.post("/Words")).json()["id"]
        async with client.stream("GET", f"/Words/{uid}/stream") as response:
            Words.line.put_nowait("one")
            async for name, _, data in messages(response):
                assert (name, data) == ("chunk", "one")
                break
        await until_no_task("_Messages", "disconnected")
        assert (await executor.get(uid)).status == "processing"


# --------------------------------------------------------------------------------------- streams


async def test_progress_and_the_end_are_streamed(make_app: Callable[..., Any]) -> None:
    async with client_of(make_app(executor_of())) as client:
        uid = (await client.post("/Held")).json()["id"]
        async with client.stream("GET", f"/Held/{uid}/stream") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            found = []
            async for message in messages(response):
                found.append(message)
                Held.gate.set()
        assert [name for name, _, _ in found] == ["progress", "finished"]
        data = found[-1][2]
        assert data["status"] == "completed"
        assert data["result"]["day"] == "2026-01-01"


@pytest.mark.parametrize("is_shared", [False, True])
async def test_a_stream_goes_on_after_the_last_id(
    make_app: Callable[..., Any], is_shared: bool, tmp_path: Path
) -> None:
    executor = executor_of(f"sqlite:///{tmp_path}/run.db" if is_shared else None)
    async with client_of(make_app(executor)) as client:
        path = f"/Words/{(await client.post('/Words')).json()['id']}/stream"
        Words.line.put_nowait("one")
        async with client.stream("GET", path) as response:
            _, last, _ = await anext(messages(response))
        for word in ("two", ""):
            Words.line.put_nowait(word)
        async with client.stream("GET", path, headers={"Last-Event-ID": last or ""}) as response:
            found = [each async for each in messages(response)]
        assert [(name, data) for name, _, data in found[:-1]] == [("chunk", "two")]
        name, end, data = found[-1]
        assert (name, end, data["status"]) == ("finished", "end", "completed")
        assert "result" not in data
        whole = await client.get(path)
        assert [line for line in whole.text.splitlines() if "chunk" in line] == ["event: chunk"] * 2
        other = await client.get(path, headers={"Last-Event-ID": "7-1"})
        assert "event: restart" in other.text
        assert (await client.get(path, headers={"Last-Event-ID": "end"})).status_code == 204


async def test_a_silent_stream_has_a_heartbeat(make_app: Callable[..., Any]) -> None:
    async with client_of(make_app(executor_of(), heartbeat=0.01)) as client:
        uid = (await client.post("/Words")).json()["id"]
        async with client.stream("GET", f"/Words/{uid}/stream") as response:
            async for name, _, _ in messages(response):
                assert name == "heartbeat"
                break


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("make", [web.routes, router])
def test_routes_are_guarded_or_declared_public(make: Any) -> None:
    executor = executor_of()
    with pytest.raises(ConfigurationError, match="public=True"):
        make(executor, add)
    guard = {"authorize": bool} if make is web.routes else {"dependencies": [Depends(bool)]}
    with pytest.raises(ConfigurationError, match="not both"):
        make(executor, add, public=True, **guard)


@pytest.mark.parametrize("make", [web.routes, router])
def test_what_cannot_work_is_refused_at_once(make: Any) -> None:
    executor = Executor.of(add)
    with pytest.raises(ConfigurationError, match="fail is no event type of the executor"):
        make(executor, fail, public=True)
    with pytest.raises(ConfigurationError, match="name the event types"):
        make(executor, public=True)
    with pytest.raises(ConfigurationError, match="no event type"):
        make(executor, int, public=True)
    with pytest.raises(ConfigurationError, match="max_wait must be a number"):
        make(executor, add, public=True, max_wait=0)
    with pytest.raises(ConfigurationError, match="max_body must be a number of bytes"):
        make(executor, add, public=True, max_body=0)


def test_a_lifespan_that_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = executor_of()
    with pytest.raises(ConfigurationError, match="are in memory"):
        web.lifespan(executor, run="never")
    with pytest.raises(ConfigurationError, match='"never" or "here"'):
        web.lifespan(executor, run="always")  # type: ignore[arg-type]
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    with pytest.raises(ConfigurationError, match="WEB_CONCURRENCY=2"):
        web.lifespan(executor, run="here")


async def test_a_router_whose_events_nothing_runs_does_not_start() -> None:
    app = FastAPI()
    app.include_router(router(executor_of(), add, public=True))
    with pytest.raises(ConfigurationError, match="nothing runs them"):
        async with app.router.lifespan_context(app):
            pass


@pytest.mark.parametrize("run", ["never", "here"])
async def test_a_store_that_cannot_be_opened_stops_the_start(run: web.Run, tmp_path: Path) -> None:
    executor = executor_of(f"sqlite:///{tmp_path}/none/run.db")
    app = Starlette(lifespan=web.lifespan(executor, run=run))
    with pytest.raises(ConfigurationError, match="none does not exist"):
        async with app.router.lifespan_context(app):
            pass


async def test_a_request_that_authorize_refuses_is_forbidden() -> None:
    executor = executor_of()
    routes = web.routes(executor, add, authorize=lambda request: "x-user" in request.headers)
    app = Starlette(
        routes=[Mount("/jobs", routes=routes)], lifespan=web.lifespan(executor, run="here")
    )
    async with client_of(app) as client:
        assert (await client.post("/add", json={"left": 1})).status_code == 403
        answer = await client.post("/add", json={"left": 1}, headers={"X-User": "ada"})
        assert answer.status_code == 202


async def test_a_dependency_of_fastapi_guards_every_path() -> None:
    def refuse() -> None:
        raise HTTPException(401)

    executor = executor_of()
    app = FastAPI(lifespan=web.lifespan(executor, run="here"))
    app.include_router(router(executor, add, dependencies=[Depends(refuse)]), prefix="/jobs")
    async with client_of(app) as client:
        for method, path in (
            ("POST", ""),
            ("GET", f"/{uuid4()}"),
            ("GET", f"/{uuid4()}/stream"),
            ("POST", f"/{uuid4()}/cancel"),
        ):
            assert (await client.request(method, f"/add{path}")).status_code == 401


# ------------------------------------------------------------------------------- FastAPI alone


def test_openapi_shows_fields_and_states_and_no_internals() -> None:
    schema = fastapi_app(executor_of()).openapi()
    models = schema["components"]["schemas"]
    assert models["addFields"]["properties"].keys() == {"left", "right"}
    assert models["addFields"]["required"] == ["left"]
    assert models["addFields"]["description"] == "Adds two numbers."
    state = models["addState"]["properties"]
    assert list(state) == ["id", "status", "progress", "result", "error"]
    assert {"type": "integer"} in state["result"]["anyOf"]
    words = models["WordsState"]["properties"]["result"]["anyOf"][0]
    assert words == {"type": "array", "items": {"type": "string"}}
    wait = schema["paths"]["/jobs/add/{id}"]["get"]["parameters"][1]["schema"]
    assert (wait["minimum"], wait["maximum"]) == (0.0, 30.0)
    assert {"execution", "metadata", "timeout"}.isdisjoint(str(models).split("'"))


async def test_the_dependency_is_the_executor_of_the_lifespan() -> None:
    executor = executor_of()
    app = FastAPI(lifespan=web.lifespan(executor, run="here"))

    @app.get("/jobs/queue")
    async def queue(executor: CurrentExecutor) -> str:
        return executor.store.queue

    async with client_of(app) as client:
        assert (await client.get("/queue")).json() == "jobs"


async def test_the_dependency_needs_the_lifespan() -> None:
    app = FastAPI()

    @app.get("/queue")
    async def queue(executor: CurrentExecutor) -> str:
        return executor.store.queue

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        with pytest.raises(OperationError, match=r"web\.lifespan"):
            await client.get("/queue")
