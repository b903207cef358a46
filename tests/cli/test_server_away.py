"""Commands that start while the PostgreSQL server is away, and what no waiting can help."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from lionpride import Event, Executor, Processor
from lionpride.errors import ConfigurationError, StoreError
from tools.postgres_server import Server

pytestmark = pytest.mark.guard(60)

LOCKED = "local all stranger scram-sha-256\nlocal all all trust\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of this module's own; each test leaves it running."""
    with Server() as server:
        (server.data / "pg_hba.conf").write_text(LOCKED)
        server.stop()
        server.start()
        yield server


@pytest.fixture
def away(server, place):
    """The server, stopped, as the store of a directory with jobs."""
    place.url = place.kept = f"{server.url}&lionpride_schema={place.path.name.lower()}"
    server.stop()
    yield server
    if server.postmaster is None:
        server.start()


@contextlib.contextmanager
def started(place, *arguments):
    process = place.start(*arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def waits(process):
    """Read the one line that says so."""
    said = process.stderr.readline()
    assert "cannot be reached" in said
    assert said.endswith("; waiting for it\n")


def counts(place):
    return {
        each["queue"]: each["completed"] for each in place.store("counts", place.kept, "--json")
    }


@pytest.mark.promise("worker-waits-for-server")
def test_a_worker_that_starts_while_the_server_is_away_waits_for_it(place, away):
    with started(place, "work", "job.py:Work", "--store", place.kept) as process:
        waits(process)
        away.start()
        assert "working on job.Work (0 pending)" in process.stderr.readline()
        append(place, 3)
        while counts(place) != {"job.Work": 3}:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.startswith("3 events in ")
    assert "cannot be reached" not in err


def append(place, number):
    done = place.python(
        "import asyncio\n"
        "from lionpride.cli.targets.target import load_target\n"
        "target = load_target('job.py:Work')\n"
        "async def main():\n"
        f"    desk = target.executor_type(store={place.url!r}, queue='job.Work')\n"
        f"    await desk.append_many([target.event_type() for _ in range({number})])\n"
        "    await desk.store.close()\n"
        "asyncio.run(main())\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_waiting_of_a_worker(place, away, number):
    with started(place, "work", "job.py:Work", "--store", place.kept) as process:
        waits(process)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -15)])
def test_a_signal_ends_the_waiting_of_a_page(place, away, number, status):
    with started(place, "ui", place.kept, "--port", "0") as process:
        waits(process)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (status, "")


def test_a_page_that_starts_while_the_server_is_away_waits_for_it(place, away):
    away.start()
    append(place, 1)
    away.stop()
    with started(place, "ui", place.kept, "--port", "0") as process:
        waits(process)
        away.start()
        assert "is shown at http://127.0.0.1:" in process.stdout.readline()


def test_a_run_that_starts_while_the_server_is_away_waits_as_long_as_an_append(place, away):
    place.write({}, {})
    arguments = ("run", "job.py:Work", "--input", "events.jsonl", "--store", place.kept)
    with started(place, *arguments) as process:
        assert "cannot be reached" in process.stderr.readline()
        away.start()
        process.communicate(timeout=50)
    assert process.returncode == 0
    assert counts(place) == {"job.Work": 2}


WRONG = {
    "password": (("postgres@/", "stranger:wrong@/"), "check user and password"),
    "database": (("/postgres?", "/nothing?"), "create the database first"),
    "tls": (("@/postgres?host=", "@127.0.0.1:{port}/postgres?sslmode=require&x="), "TLS"),
    "port": (("@/postgres?host=", "@127.0.0.1:many/postgres?x="), "host and port cannot be read"),
    "option": (("/postgres?", "/postgres?sslmode=odd&"), "sslmode"),
    "file": (("/postgres?", "/postgres?sslrootcert=/nothing.pem&"), "no such file"),
}


async def refuse_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a server without TLS does."""
    await reader.readexactly(8)
    writer.write(b"N")
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()


@asynccontextmanager
async def wrong(server: Server, kind: str) -> AsyncIterator[str]:
    """A URL with which no waiting helps."""
    (before, after), _ = WRONG[kind]
    serving = await asyncio.start_server(refuse_tls, "127.0.0.1", 0)
    port = serving.sockets[0].getsockname()[1]
    yield server.url.replace(before, after.format(port=port))
    serving.close()


@pytest.mark.promise("worker-waits-for-server")
@pytest.mark.parametrize("kind", WRONG)
async def test_what_no_waiting_can_help_fails_at_once(place, server, kind):
    async with wrong(server, kind) as url:
        for arguments in (
            ("work", "job.py:Work", "--store", url),
            ("ui", url, "--port", "0"),
        ):
            done = await asyncio.to_thread(place.run, *arguments)
            assert done.returncode == 2
            assert WRONG[kind][1] in done.stderr
            assert "waiting" not in done.stderr
            assert "Traceback" not in done.stderr
            assert "wrong" not in done.stderr


@pytest.mark.parametrize("how", ["PGPASSWORD", "PGPASSFILE"])
async def test_a_password_is_read_from_the_environment_or_a_file(place, server, how):
    role = f"reader_{how.lower()}"
    admin = await asyncpg.connect(server.url)
    await admin.execute(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'topsecret'")
    await admin.close()
    hba = server.data / "pg_hba.conf"
    hba.write_text(f"local all {role} scram-sha-256\n{LOCKED}")
    server.stop()
    server.start()
    url = server.url.replace("postgres@/", f"{role}@/")
    url = f"{url}&lionpride_schema={place.path.name.lower()}"
    passfile = place.path / "passfile"
    passfile.write_text(f"*:*:*:{role}:topsecret\n")
    passfile.chmod(0o600)
    refused = await asyncio.to_thread(place.run, "migrate", url)
    assert refused.returncode != 0
    assert "password" in refused.stderr
    place.env[how] = "topsecret" if how == "PGPASSWORD" else str(passfile)
    assert (await asyncio.to_thread(place.run, "migrate", url)).returncode == 0
    assert (await asyncio.to_thread(place.run, "doctor", url)).returncode == 0


class Errand(Event):
    async def _invoke(self) -> str:
        return "done"


class Errands(Processor):
    event_type = Errand


class Desk(Executor):
    processor_type = Errands


@pytest.mark.parametrize("kind", WRONG)
async def test_an_executor_fails_at_once_where_no_waiting_can_help(server, kind):
    async with wrong(server, kind) as url:
        with pytest.raises((StoreError, ConfigurationError), match=WRONG[kind][1]) as error:
            async with Desk(store=f"{url}&lionpride_patience=50"):
                await asyncio.Event().wait()  # it is cancelled, since nothing can run
        assert not error.value.retryable


async def test_an_executor_that_starts_while_the_server_is_away_waits_for_it(server, place, caplog):
    schema = place.path.name.lower()
    await asyncio.to_thread(server.stop)
    async with Desk(store=f"{server.url}&lionpride_schema={schema}") as desk:
        appending = asyncio.create_task(desk.append(Errand()))
        while not any("cannot be reached" in text for text in caplog.messages):
            await asyncio.sleep(0.05)
        assert not appending.done()
        await asyncio.to_thread(server.start)
        assert await desk.result(await appending) == "done"
    assert sum("cannot" in text for text in caplog.messages) == 1
