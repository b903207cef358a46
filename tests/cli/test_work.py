"""`lionpride work`: workers without producers, as processes, on one store."""

import contextlib
import signal
import textwrap

import pytest
from cli.texts import plain
from kept import over_kept

from lionpride.cli.store.location import locate_store
from tools.postgres_server import Server

JOBS = """
    from lionpride.core import Event, Executor, Processor

    class Base(Event):
        n: int = 0

    class Resize(Base):
        async def _invoke(self):
            return self.n

    class Mail(Event):
        async def _invoke(self):
            return "sent"

    class Mailing(Processor):
        event_type = Mail

    class Mailer(Executor):
        processor_type = Mailing

    class Unfinished(Executor):
        pass
"""


@pytest.fixture
def jobs(place):
    (place.path / "jobs.py").write_text(textwrap.dedent(JOBS))
    return place


def put(place, target, number, *options, queue=None, fields=()):
    """Append events in another process, and run none of them."""
    name, lines = target.rpartition(":")[2], [{"n": n} for n in range(number)]
    kind = f"{target.rpartition(':')[0].removesuffix('.py')}.{name}"
    code = f"""
        import asyncio, sys
        from lionpride.cli.targets.target import load_target
        target = load_target({target!r})
        async def main():
            desk = target.executor_type(store={place.url!r}, queue={queue or kind!r})
            takes = "n" in target.event_type.model_fields
            lines = {lines!r}
            await desk.append_many([target.event_type(**each) for each in {list(fields)!r}])
            await desk.append_many([target.event_type(**(x if takes else {{}})) for x in lines])
            await desk.store.close()
        asyncio.run(main())
    """
    done = place.python(textwrap.dedent(code))
    assert done.returncode == 0, done.stderr


def counts(place, *options):
    return {
        each["queue"]: {k: v for k, v in each.items() if k != "queue" and v}
        for each in place.store("counts", place.kept, "--json", *options)
    }


@contextlib.contextmanager
def working(place, *arguments):
    process = place.start("work", *arguments, "--store", place.kept)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@over_kept
def test_all_queues_of_a_module_are_worked_off(jobs, snapshot):
    put(jobs, "jobs.py:Resize", 3)
    put(jobs, "jobs.py:Mail", 2)
    done = jobs.run("work", "jobs.py", "--store", jobs.kept, "--until-empty")
    assert done.returncode == 0, done.stderr
    assert plain(done.stderr, STORE=locate_store(jobs.kept).name) == snapshot
    assert done.stdout.startswith("5 events in ")
    assert counts(jobs) == {"jobs.Resize": {"completed": 3}, "jobs.Mail": {"completed": 2}}


@over_kept
def test_a_queue_of_any_name_takes_all_classes_of_a_module(place):
    put(place, "job.py:Noted", 2, queue="odd")
    put(place, "job.py:Work", 2, queue="odd")
    work = "--store", place.kept, "--queue", "odd", "--until-empty"
    named = place.run("work", "job.py:Noted", *work)
    assert (named.returncode, counts(place)) == (1, {"odd": {"completed": 2, "pending": 2}})
    assert "no worker runs job.Work" in named.stderr
    done = place.run("work", "job.py:Noted", "job.py:Work", *work)
    assert (done.returncode, counts(place)) == (0, {"odd": {"completed": 4}})


@over_kept
def test_it_waits_for_more_and_stops_when_it_is_told_to_end(place, snapshot):
    put(place, "job.py:Held", 3)
    with working(place, "job.py:Held", "--concurrency", "1") as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGTERM)
        while "stopping" not in (said := process.stderr.readline()):
            assert said
        assert said == snapshot
        (place.path / "release").touch()
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("1 event in ")
    assert counts(place) == {"job.Held": {"completed": 1, "pending": 2}}


@over_kept
def test_asked_twice_it_ends_at_once_and_what_ran_waits_again(place):
    put(place, "job.py:Held", 2)
    with working(place, "job.py:Held", "--concurrency", "1") as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        while "stopping" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert counts(place) == {"job.Held": {"pending": 2}}


FAMILY = """
    import asyncio
    from pathlib import Path
    from lionpride.core import Event, Executor, Processor

    class Member(Event):
        url: str
        children: int = 0

        async def _invoke(self):
            if self.children:
                async with asyncio.timeout(60):
                    await self.wait_for_children()
                return
            print("running", flush=True)
            while not Path("release").exists():
                await asyncio.sleep(0.01)

        async def wait_for_children(self):
            family = Family(store=self.url)
            try:
                members = [Member(url=self.url) for _ in range(self.children)]
                for member in await family.append_many(members):
                    await family.result(member)
            finally:
                await family.store.close()

    class Members(Processor):
        event_type = Member

    class Family(Executor):
        processor_type = Members
"""


@over_kept
def test_a_drain_ends_though_what_runs_waits_for_events_of_its_own_queue(place):
    (place.path / "family.py").write_text(textwrap.dedent(FAMILY))
    put(place, "family.py:Member", 0, fields=[{"url": place.url, "children": 60}])
    with working(place, "family.py:Family", "--concurrency", "2", "--grace", "1") as process:
        assert process.stdout.readline() == "running\n", "the first of 60 children"
        process.send_signal(signal.SIGTERM)
        while "stopping" not in process.stderr.readline():
            pass
        (place.path / "release").touch()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "the grace time of 1 s is over: 1 running event was interrupted" in err
    assert "1 event in" in out, "the child that ran had time to finish"
    assert counts(place) == {"family.Member": {"completed": 1, "pending": 60}}
    assert interruptions(place) == [(0, 1)], "it is not counted as a failed try"


def interruptions(place):
    """Of each event that waits and was interrupted: its failed tries, and its interruptions."""
    waiting = place.store("ls", place.kept, "--status", "pending", "--limit", "100", "--json")
    return [(one["failure_count"], one["interruptions"]) for one in waiting if one["interruptions"]]


@pytest.mark.parametrize("target", ["Held", "Plain", "InThread", "Stubborn"])
def test_code_that_does_not_finish_in_the_grace_time_waits_again(place, target):
    put(place, f"job.py:{target}", 2)
    with working(place, f"job.py:{target}", "--concurrency", "1", "--grace", "0.2") as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "0.2 s is over: 1 running event was interrupted and will run again" in err
    assert counts(place) == {f"job.{target}": {"pending": 2}}
    assert interruptions(place) == [(0, 1)]


def test_code_that_blocks_the_event_loop_is_ended_after_the_grace_time(place):
    put(place, "job.py:Blocking", 1)
    with working(place, "job.py:Blocking", "--grace", "0.2") as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert err.endswith(
        "lionpride: stopped after the grace time; the code of an event did not end, or the "
        "store does not answer\n"
    )
    (worker,) = place.store("workers", place.kept, "--json")
    assert not worker["alive"], "so that another worker takes over what it had"


def test_without_grace_the_first_signal_interrupts(place):
    put(place, "job.py:Held", 1)
    with working(place, "job.py:Held", "--grace", "0") as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the grace time of 0 s is over: 1 running event was interrupted" in err
    assert counts(place) == {"job.Held": {"pending": 1}}


def test_a_worker_that_runs_nothing_ends_at_once_and_with_0(place):
    (place.path / "release").touch()
    put(place, "job.py:Held", 1)
    with working(place, "job.py:Held", "--grace", "0") as process:
        while counts(place) != {"job.Held": {"completed": 1}}:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "interrupted" not in err


def test_asked_twice_the_grace_time_is_not_waited_for(place):
    put(place, "job.py:Held", 1)
    with working(place, "job.py:Held", "--grace", "86400") as process:
        assert process.stdout.readline() == "running\n"
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            said = process.stderr.readline()
            while "stopp" not in said:
                assert said
                said = process.stderr.readline()
        process.communicate(timeout=30)
    assert process.returncode == 143
    assert "stopped at once: 1 running event was interrupted and will run again" in said
    assert interruptions(place) == [(0, 1)]


@pytest.mark.parametrize(
    ("command", "grace"), [("run", "-1"), ("work", "nan"), ("work", "soon"), ("run", "86401")]
)
def test_a_grace_time_that_is_none_is_refused(place, command, grace):
    inputs = ("--input", place.write({})) if command == "run" else ()
    done = place.run(command, "job.py:Work", "--store", "run.db", *inputs, f"--grace={grace}")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--grace: {grace!r} is not a number of seconds from 0 to 86,400" in done.stderr


@over_kept
def test_what_comes_while_it_waits_is_run(place):
    put(place, "job.py:Held", 1)
    with working(place, "job.py:Held") as process:
        assert process.stdout.readline() == "running\n"
        put(place, "job.py:Held", 1)
        assert process.stdout.readline() == "running\n"


@over_kept
def test_several_share_a_store_and_one_that_is_killed_is_not_missed(place):
    (place.path / "release").touch()
    put(place, "job.py:Noted", 60)
    with contextlib.ExitStack() as stack:
        arguments = ("job.py:Noted", "--concurrency", "2", "--until-empty", "--quiet")
        first, *others = [stack.enter_context(working(place, *arguments)) for _ in range(3)]
        journal = place.path / "journal"
        while not journal.exists() or "end" not in journal.read_text():
            assert first.poll() is None
        first.kill()
        for process in others:
            _, err = process.communicate(timeout=60)
            assert process.returncode == (1 if "failed" in err else 0)
    ended = [line.split()[1] for line in journal.read_text().splitlines() if line[:3] == "end"]
    assert set(map(int, ended)) == set(range(60))
    assert counts(place) == {"job.Noted": {"completed": 54, "failed": 6}}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("two.py",), ["two.py:Other", "run the queue 'two.Mail'", "file.py:NAME"]),
        (("jobs.py", "--queue", "q"), ["--queue", "name one of them: jobs.py:Mailer"]),
        (("empty.py",), ["empty.py", "no Event that does something"]),
        (("gone.py",), ["no file gone.py"]),
        (("jobs.py", "--refresh", "2"), ["--refresh", "--capacity"]),
        (("jobs.py", "--capacity", "99999999"), ["jobs.py:Mailer", "queue_capacity"]),
    ],
)
@over_kept
def test_what_cannot_be_done_is_said_before_anything_runs(jobs, arguments, words):
    (jobs.path / "empty.py").touch()
    two = textwrap.dedent(JOBS) + "\n\nclass Other(Mailer):\n    pass\n"
    (jobs.path / "two.py").write_text(two)
    done = jobs.run("work", *arguments, "--store", jobs.kept)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert all(word in done.stderr for word in words), done.stderr


@over_kept
def test_a_store_has_to_be_named(place):
    done = place.run("work", "job.py:Work")
    assert done.returncode == 2
    assert "--store" in done.stderr


@pytest.mark.promise("postgres-server-crash")
def test_a_drain_ends_though_the_server_is_gone(place):
    with Server() as server:
        place.url = place.kept = server.url
        put(place, "job.py:Held", 1)
        with working(place, "job.py:Held", "--grace", "0.2") as process:
            assert process.stdout.readline() == "running\n"
            server.stop("immediate")
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "stopped after the grace time" in err


def test_a_server_that_goes_and_comes_back_ends_no_worker(place):
    with Server() as server:
        place.url = place.kept = f"{server.url}&lionpride_patience=0.2"
        put(place, "job.py:Work", 2)
        with working(place, "job.py:Work") as process:
            while counts(place) != {"job.Work": {"completed": 2}}:
                assert process.poll() is None
            server.stop("immediate")
            while "cannot be reached" not in (said := process.stderr.readline()):
                assert said
            assert "trying again in" in said
            server.start()
            put(place, "job.py:Work", 3)
            while counts(place) != {"job.Work": {"completed": 5}}:
                assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.startswith("5 events in ")


def test_a_worker_of_an_empty_queue_names_queues_that_have_events_and_no_worker(jobs, snapshot):
    (jobs.path / "app").mkdir()
    (jobs.path / "app" / "jobs.py").write_text(textwrap.dedent(JOBS))
    put(jobs, "jobs.py:Mail", 3, queue="app.jobs.Mail")
    put(jobs, "jobs.py:Resize", 1, queue="resizing")
    put(jobs, "jobs.py:Resize", 9, queue="busy")
    put(jobs, "jobs.py:Resize", 7, queue="more")
    put(jobs, "jobs.py:Resize", 5, queue="most")
    with working(jobs, "jobs.py:Resize", "--queue", "busy") as worker:
        worker.stderr.readline()
        done = jobs.run("work", "app/jobs.py:Mail", "--store", jobs.kept, "--until-empty")
    assert done.returncode == 0
    told = [line for line in done.stderr.splitlines() if "no event is pending" in line]
    assert told == snapshot
    quiet = jobs.run("work", "app/jobs.py:Mail", "--store", jobs.kept, "--until-empty", "--quiet")
    assert quiet.stderr == ""


def test_a_worker_of_a_queue_with_events_says_nothing_of_other_queues(jobs):
    put(jobs, "jobs.py:Mail", 1)
    put(jobs, "jobs.py:Mail", 1, queue="other")
    done = jobs.run("work", "jobs.py:Mail", "--store", jobs.kept, "--until-empty")
    assert "other" not in done.stderr


ENDS = """
    import asyncio
    from lionpride.core import Event, Executor, Processor, Skip

    class Fails(Event):
        async def _invoke(self):
            raise ValueError("no luck")

    class TimesOut(Event):
        timeout: float | None = 0.05

        async def _invoke(self):
            await asyncio.Event().wait()

    class Skips(Event):
        async def _invoke(self):
            raise Skip("not today")

    class Hangs(Event):
        async def _invoke(self):
            print("running", flush=True)
            await asyncio.Event().wait()

    class Denied(Event):
        async def _invoke(self):
            return 1

    class Denying(Processor):
        event_type = Denied

        async def request_permission(self, **request):
            return False

    class Denials(Executor):
        processor_type = Denying

        def __init__(self, config=None, *args, **kwargs):
            super().__init__({**(config or {}), "denial_backoff": 0.0}, *args, **kwargs)
"""


@over_kept
@pytest.mark.parametrize(
    ("target", "status", "returncode"),
    [
        ("Fails", "failed", 1),
        ("TimesOut", "cancelled", 1),
        ("Denials", "aborted", 1),
        ("Skips", "skipped", 0),
    ],
)
def test_the_exit_status_says_whether_an_event_failed_here(place, target, status, returncode):
    (place.path / "ends.py").write_text(textwrap.dedent(ENDS))
    put(place, f"ends.py:{target}", 1, queue="q")
    arguments = ("work", f"ends.py:{target}", "--store", place.kept, "--queue", "q")
    done = place.run(*arguments, "--until-empty")
    assert (done.returncode, counts(place)) == (returncode, {"q": {status: 1}}), done.stderr
    assert (f"{status}  " in done.stderr) is (returncode == 1)
    again = place.run(*arguments, "--until-empty")
    assert again.returncode == 0, "another run failed it"


@over_kept
def test_an_event_that_is_cancelled_by_hand_is_no_failure_of_the_worker(place):
    (place.path / "ends.py").write_text(textwrap.dedent(ENDS))
    put(place, "ends.py:Hangs", 1)
    with working(place, "ends.py:Hangs", "--until-empty") as process:
        assert process.stdout.readline() == "running\n"
        (event,) = place.store("ls", place.url, "--json")
        assert place.run("cancel", place.url, event["id"]).returncode == 0
        out, err = process.communicate(timeout=30)
    assert (process.returncode, counts(place)) == (0, {"ends.Hangs": {"cancelled": 1}}), err
    assert "1 event cancelled by hand" in out
    assert "cancelled  " not in err
    shown = place.run("show", place.url, event["id"]).stdout
    assert "EventCancelledError: cancelled on request while it was processed" in shown
