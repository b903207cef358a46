"""``lionpride work`` in production: real processes, ports, signals and servers."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Place
from prometheus_client.parser import text_string_to_metric_families
from worker.client import Response, get

from lionpride import cli
from lionpride.cli import production
from lionpride.worker.recycling import RECYCLED
from tools.postgres_server import Server

pytestmark = pytest.mark.guard(90)

JOBS = """
    import asyncio, logging, os, sys, time
    from pathlib import Path
    from prometheus_client import CollectorRegistry, Counter
    from lionpride import job

    calls = Counter("app_calls", "Calls of the application.")
    registry = CollectorRegistry()
    sales = Counter("app_sales", "On a registry of its own.", registry=registry)
    logger = logging.getLogger("shop")
    kept = []

    @job
    async def note(number: int, fails: bool = False) -> int:
        calls.inc()
        sales.inc(2)
        logger.info("note %d", number, extra={"number": number})
        with open("journal", "a") as journal:
            journal.write(f"{number}\\n")
        if fails:
            raise ValueError("two\\nlines")
        return os.getpid()

    @job
    async def hold() -> int:
        Path(f"holding-{os.getpid()}").touch()
        while not Path("release").exists():
            await asyncio.sleep(0.01)
        return os.getpid()

    @job
    async def block() -> None:
        Path("blocking").touch()
        while not Path("release").exists():
            time.sleep(0.01)

    @job
    async def grow() -> None:
        kept.append(bytearray(os.urandom(1024)) * 100_000)
"""

APPEND = """
    import asyncio, sys
    import jobs
    from lionpride import Executor

    async def main():
        executor = Executor.of({name}, store={url!r})
        await executor.append_many([{events}])
        await executor.store.close()

    asyncio.run(main())
"""


@pytest.fixture
def shop(place: Place) -> Place:
    (place.path / "jobs.py").write_text(textwrap.dedent(JOBS))
    return place


def append(shop: Place, name: str, events: str) -> None:
    """Append events of a job, in a process of its own."""
    code = APPEND.format(name=f"jobs.{name}", url=shop.url, events=events)
    done = shop.python(textwrap.dedent(code))
    assert done.returncode == 0, done.stderr


class Worker:
    """A worker with a log in JSON.

    Attributes:
        log: Its records so far; a line that is no JSON fails the test.
    """

    def __init__(self, shop: Place, process: asyncio.subprocess.Process) -> None:
        self.shop = shop
        self.process = process
        self.log: list[dict[str, Any]] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log.append(json.loads(line))

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for a condition while the worker runs."""
        while not (found := condition()):
            if self._reader.done():
                self._reader.result()
            assert self.process.returncode is None, self.log
            await asyncio.sleep(0.01)
        return found

    async def said(self, text: str) -> dict[str, Any]:
        found = await self.until(lambda: [each for each in self.log if text in each["message"]])
        return dict(found[0])

    async def port(self, what: str) -> int:
        def found() -> list[int]:
            return [each["port"] for each in self.log if "port" in each and what in each["message"]]

        return int((await self.until(found))[0])

    async def health(self, what: str) -> Response:
        return await get(await self.port("/health/ready"), f"/health/{what}", Host="10.1.2.3")

    async def becomes(self, what: str, status: int) -> str:
        """Wait until a probe has a status, and return what it says."""
        while (answer := await self.health(what)).status != status:
            assert self.process.returncode is None, self.log
        return answer.text

    async def scrape(self) -> dict[str, float]:
        """The sums of the samples, by name."""
        answer = await get(await self.port("/metrics"), "/metrics")
        assert answer.status == 200
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                status = sample.labels.get("status", "")
                name = sample.name + (f"/{status}" if status else "")
                sums[name] = sums.get(name, 0.0) + sample.value
        return sums

    async def scrape_until(self, name: str, value: float) -> dict[str, float]:
        while (found := await self.scrape()).get(name) != value:
            assert self.process.returncode is None, self.log
        return found

    def children(self) -> list[int]:
        """The ids of the processes that a supervisor has started."""
        return [
            int(each["message"].partition("(pid ")[2].partition(")")[0])
            for each in self.log
            if each["message"].endswith("has started")
        ]

    async def ended(self) -> int:
        status = await self.process.wait()
        await self._reader
        return status


@asynccontextmanager
async def working(shop: Place, *options: str) -> AsyncIterator[Worker]:
    command = shop.command(
        *("work", "jobs.py", "--store", shop.kept, "--log-format", "json"), *options
    )
    process = await asyncio.create_subprocess_exec(
        *command, cwd=shop.path, env=shop.env, stderr=asyncio.subprocess.PIPE
    )
    worker = Worker(shop, process)
    try:
        yield worker
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        for pid in worker.children():
            while is_running(pid):
                await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def counts(shop: Place, name: str) -> dict[str, int]:
    found = {each["queue"]: each for each in shop.store("counts", shop.kept, "--json")}
    return dict(found[f"jobs.{name}"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


PROBES = ("--health-port", "0", "--metrics-port", "0")


@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["alone", "processes"])
async def test_events_are_counted_from_the_first_on_and_the_application_s_metrics_are_there(
    shop: Place, processes: tuple[str, ...]
) -> None:
    append(shop, "note", "*(jobs.note(n, fails=n == 7) for n in range(20))")
    async with working(shop, *PROBES, *processes) as worker:
        await worker.becomes("ready", 200)
        first = await worker.scrape_until("app_calls_total", 20)
        assert first["app_sales_total"] == 40
        first = await worker.scrape_until("lionpride_settled_total/completed", 19)
        assert first["lionpride_settled_total/failed"] == 1
        first = await worker.scrape_until("lionpride_events/completed", 19)  # not twice as many
        assert first["lionpride_store_up"] == 1
        append(shop, "note", "*(jobs.note(n) for n in range(5))")
        second = await worker.scrape_until("lionpride_settled_total/completed", 24)
        assert all(
            second[name] >= value for name, value in first.items() if name.endswith("_total")
        )
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.ended() == 0
    notes = [each for each in worker.log if each["logger"] == "shop"]
    assert sorted(each["number"] for each in notes) == sorted([*range(20), *range(5)])
    (failure,) = [each for each in worker.log if each.get("status") == "failed"]
    assert (failure["logger"], failure["level"]) == ("lionpride.events", "warning")
    assert failure["queue"] == "jobs.note"


async def test_one_port_serves_both(shop: Place) -> None:
    port = str(free_port())
    async with working(shop, "--health-port", port, "--metrics-port", port) as worker:
        assert await worker.port("/health/live, /health/ready, /metrics") == int(port)
        await worker.becomes("ready", 200)
        assert (await worker.health("live")).text == "ok\n"
        await worker.scrape_until("lionpride_store_up", 1)


@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["alone", "processes"])
async def test_while_the_server_is_away_a_worker_is_alive_and_not_ready(
    shop: Place, processes: tuple[str, ...]
) -> None:
    with Server() as server:
        shop.url = shop.kept = server.url
        async with working(shop, *PROBES, *processes) as worker:
            await worker.becomes("ready", 200)
            await asyncio.to_thread(server.stop)
            assert await worker.becomes("ready", 503) == "the store does not answer\n"
            assert (await worker.health("live")).status == 200
            found = await worker.scrape()
            while found["lionpride_store_up"]:
                found = await worker.scrape()
            assert "lionpride_events/pending" not in found
            await asyncio.to_thread(server.start)
            await worker.becomes("ready", 200)
            assert (await worker.health("live")).status == 200
            assert worker.process.returncode is None
            if processes:
                assert len(worker.children()) == 2, "no process was restarted"


@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["alone", "processes"])
async def test_a_worker_whose_store_refuses_its_writes_is_alive_and_not_ready(
    shop: Place, processes: tuple[str, ...]
) -> None:
    append(shop, "note", "jobs.note(1)")
    async with working(shop, *PROBES, *processes) as worker:
        await worker.becomes("ready", 200)
        with closing(sqlite3.connect(shop.path / shop.kept, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # as a full disk, it lets others read alone
            said = await worker.becomes("ready", 503)
            assert said.endswith(" claims no events: its leases are not renewed\n")
            assert (await worker.health("live")).status == 200
        await worker.becomes("ready", 200)
        assert len(worker.children()) == 2 * bool(processes), "no process was restarted"


async def test_a_blocked_loop_does_not_answer(shop: Place) -> None:
    async with working(shop, *PROBES) as worker:
        await worker.becomes("live", 200)
        append(shop, "block", "jobs.block()")
        await worker.until((shop.path / "blocking").exists)
        probe = asyncio.create_task(worker.health("live"))
        done, _ = await asyncio.wait([probe], timeout=2.0)  # the timeout of a probe
        assert not done
        (shop.path / "release").touch()
        assert (await probe).status == 200


async def test_a_blocked_loop_of_a_process_is_reported_by_the_supervisor(shop: Place) -> None:
    async with working(shop, *PROBES, "--processes", "2") as worker:
        await worker.becomes("ready", 200)
        append(shop, "block", "jobs.block()")
        said = await worker.becomes("live", 503)
        assert "its event loop has been blocked for " in said
        (shop.path / "release").touch()
        await worker.becomes("live", 200)


async def test_a_killed_process_is_replaced_and_nothing_is_lost(shop: Place) -> None:
    append(shop, "hold", "*(jobs.hold() for _ in range(4))")
    options = ("--processes", "2", "--concurrency", "1")
    async with working(shop, *PROBES, *options) as worker:
        await worker.until(lambda: len(list(shop.path.glob("holding-*"))) == 2)
        victim = worker.children()[0]
        os.kill(victim, signal.SIGKILL)
        await worker.said(f"process 1 (pid {victim}) was ended by SIGKILL")
        (shop.path / "release").touch()
        await worker.scrape_until("lionpride_events/completed", 4)
        found = await worker.scrape()
        assert found["lionpride_process_restarts_total"] == 1
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_the_processes_and_a_second_one_interrupts(
    shop: Place, number: int
) -> None:
    append(shop, "hold", "*(jobs.hold() for _ in range(2))")
    options = ("--processes", "2", "--concurrency", "1")
    async with working(shop, *PROBES, *options) as worker:
        await worker.until(lambda: len(list(shop.path.glob("holding-*"))) == 2)
        worker.process.send_signal(number)
        assert await worker.becomes("ready", 503) == "draining\n"
        assert (await worker.health("live")).status == 200
        for pid in worker.children():
            os.kill(pid, signal.SIGTERM)  # as systemd does without KillMode=mixed
        assert counts(shop, "hold")["processing"] == 2
        worker.process.send_signal(number)
        assert await worker.ended() == 128 + number
    assert counts(shop, "hold")["pending"] == 2
    (shop.path / "release").touch()
    async with working(shop, *options, "--until-empty") as worker:
        assert await worker.ended() == 0
    assert counts(shop, "hold")["completed"] == 2


async def test_running_events_finish_within_the_grace_time(shop: Place) -> None:
    append(shop, "hold", "*(jobs.hold() for _ in range(3))")
    async with working(shop, "--processes", "2", "--concurrency", "1") as worker:
        await worker.until(lambda: len(list(shop.path.glob("holding-*"))) == 2)
        worker.process.send_signal(signal.SIGTERM)
        notes = "stopping: 1 running may finish"
        await worker.until(lambda: sum(notes in each["message"] for each in worker.log) == 2)
        (shop.path / "release").touch()
        assert await worker.ended() == 0, worker.log
    found = counts(shop, "hold")
    assert (found["completed"], found["pending"]) == (2, 1)


async def test_the_processes_drain_if_the_supervisor_is_killed(shop: Place) -> None:
    append(shop, "hold", "*(jobs.hold() for _ in range(3))")
    async with working(shop, "--processes", "2", "--concurrency", "1") as worker:
        await worker.until(lambda: len(list(shop.path.glob("holding-*"))) == 2)
        worker.process.kill()
        notes = "stopping: 1 running may finish"
        while sum(notes in each["message"] for each in worker.log) < 2:
            await asyncio.sleep(0.01)
        (shop.path / "release").touch()
        for pid in worker.children():
            while is_running(pid):
                await asyncio.sleep(0.01)
    found = counts(shop, "hold")
    assert (found["completed"], found["pending"]) == (2, 1)


async def test_recycling_by_number_loses_nothing(shop: Place) -> None:
    append(shop, "note", "*(jobs.note(n) for n in range(200))")
    options = ("--processes", "2", "--concurrency", "3", "--max-events", "40")
    async with working(shop, *PROBES, *options) as worker:
        found = await worker.scrape_until("lionpride_settled_total/completed", 200)
        assert found["app_calls_total"] == 200
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.ended() == 0
    journal = (shop.path / "journal").read_text().split()
    assert sorted(map(int, journal)) == list(range(200)), "each once"
    assert len(worker.children()) > 2  # a process finishes more than 40 of such quick events
    reasons = [each["message"] for each in worker.log if "--max-events" in each["message"]]
    assert set(reasons) == {"40 events have finished (--max-events): no more are started"}


async def test_alone_it_ends_with_the_documented_status(shop: Place) -> None:
    append(shop, "note", "*(jobs.note(n) for n in range(500))")
    async with working(shop, "--max-events", "5", "--concurrency", "1") as worker:
        assert await worker.ended() == RECYCLED == 75
    found = counts(shop, "note")
    assert 5 <= found["completed"] < 500
    assert found["completed"] + found["pending"] == 500


async def test_recycling_by_memory(shop: Place) -> None:
    append(shop, "grow", "*(jobs.grow() for _ in range(4))")
    async with working(shop, "--max-memory", "150", "--concurrency", "1") as worker:
        assert await worker.ended() == RECYCLED
    assert "more than 150 MiB (--max-memory): no more are started" in str(worker.log)


@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["alone", "processes"])
async def test_a_limit_of_memory_below_that_of_the_code_is_refused(
    shop: Place, processes: tuple[str, ...]
) -> None:
    append(shop, "note", "jobs.note(1)")
    async with working(shop, "--max-memory", "10", *processes) as worker:
        assert await worker.ended() == 2
    assert "--max-memory 10 is less than the " in str(worker.log)
    assert counts(shop, "note")["pending"] == 1


@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["alone", "processes"])
async def test_a_worker_whose_log_nobody_reads_is_alive_and_can_be_stopped(
    shop: Place, processes: tuple[str, ...]
) -> None:
    append(shop, "hold", "jobs.hold()")
    port = str(free_port())
    command = shop.command("work", "jobs.py", "--store", shop.kept, "--health-port", port)
    options = ("--log-level", "debug", "--grace", "0", *processes)
    reading, writing = os.pipe()
    fill(writing)
    process = await asyncio.create_subprocess_exec(
        *command, *options, cwd=shop.path, env=shop.env, stderr=writing
    )
    try:
        while not list(shop.path.glob("holding-*")):
            assert process.returncode is None
            await asyncio.sleep(0.01)
        assert (await get(int(port), "/health/live")).status == 200
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 143
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(reading)
        os.close(writing)
    assert counts(shop, "hold")["pending"] == 1


def fill(pipe: int) -> None:
    """Write to a pipe until it takes no more."""
    os.set_blocking(pipe, False)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(pipe, b" " * size)
    os.set_blocking(pipe, True)


async def test_a_target_that_cannot_be_imported_ends_the_supervisor(shop: Place) -> None:
    (shop.path / "jobs.py").write_text("import nothing_of_this_name")
    async with working(shop, "--processes", "2") as worker:
        assert await worker.ended() == 2
    assert "nothing_of_this_name" in str(worker.log)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_without_the_extra_the_error_names_it(
    shop: Place,
    log_format: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = production.importlib.util.find_spec
    missing = "prometheus_client"
    monkeypatch.setattr(
        production.importlib.util, "find_spec", lambda name: None if name == missing else find(name)
    )
    command = ["work", "jobs.py", "--metrics-port", "0", "--log-format", log_format]
    assert cli.main(command) == 2
    assert "--metrics-port needs the extra [metrics]" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--health-port", "--metrics-port"])
@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["alone", "processes"])
async def test_a_port_that_is_taken_is_named(
    shop: Place, option: str, processes: tuple[str, ...]
) -> None:
    with socket.create_server(("", 0)) as sock:
        port = str(sock.getsockname()[1])
        async with working(shop, option, port, *processes) as worker:
            assert await worker.ended() == 2
    assert f"{option}: port {port} cannot be used" in worker.log[-1]["message"]


@pytest.mark.parametrize("option", ["--max-events", "--max-memory"])
def test_until_empty_refuses_recycling(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["work", "jobs.py", "--until-empty", option, "5"]) == 2
    assert f"{option} cannot be used with --until-empty" in capsys.readouterr().err


def test_a_worker_without_these_options_does_not_import_the_extra(shop: Place) -> None:
    code = """
        import sys
        import lionpride.cli.commands.work
        assert "prometheus_client" not in sys.modules
    """
    assert shop.python(textwrap.dedent(code)).returncode == 0
