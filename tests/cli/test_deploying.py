"""A deploy of a new release while workers of the old one run: two processes, one of each."""

import contextlib
import json
import signal
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from cli.conftest import Place
from kept import over_kept

OLD = """
    from typing import ClassVar
    from lionpride.core import Event, Retry

    class Ship(Event):
        retry: ClassVar = Retry(attempts=3)
        order: int

        async def _invoke(self):
            return "old"

    class Other(Event):
        async def _invoke(self):
            return "old"
"""
NEW = OLD.replace("order: int", 'order: int\n        note: str = ""').replace('"old"', '"new"')


class Release(Place):
    """A folder with one release of `ship.py`, over the store of a place."""

    def __init__(self, place: Place, name: str, code: str) -> None:
        path = place.path / name
        path.mkdir()
        super().__init__(path, place.kept, place.url)
        (path / "ship.py").write_text(textwrap.dedent(code))

    def put(self, events: str) -> None:
        """Append events in a process of its own, and run none of them."""
        done = self.python(
            textwrap.dedent(f"""
                import asyncio
                from lionpride.core import Event, Executor, Processor
                from lionpride.cli.targets.target import load_target
                kinds = {{name: load_target(f"ship.py:{{name}}") for name in ("Ship", "Other")}}
                Ship, Other = (kinds[name].event_type for name in ("Ship", "Other"))

                class Any(Processor):
                    event_type = Event

                class Ships(Executor):
                    processor_type = Any

                async def main():
                    executor = Ships(store={self.url!r}, queue="ships")
                    await executor.append_many({events})
                    await executor.store.close()

                asyncio.run(main())
            """)
        )
        assert done.returncode == 0, done.stderr

    @contextlib.contextmanager
    def working(self, *options: str) -> Iterator[Any]:
        how = "--queue", "ships", "--store", self.kept, *options
        process = self.start("work", "ship.py", *how)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def work(self, *options: str) -> Any:
        """Work until the queue is empty."""
        how = "--queue", "ships", "--store", self.kept, "--until-empty", *options
        return self.run("work", "ship.py", *how)

    def doctor(self, *options: str) -> list[str]:
        return self.run("doctor", self.kept, "--json", *options).stdout.splitlines()

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run("export", self.kept).stdout.splitlines()]


@pytest.fixture
def releases(place: Place) -> tuple[Release, Release]:
    return Release(place, "old", OLD), Release(place, "new", NEW)


@over_kept
def test_an_optional_field_that_holds_its_default_does_not_stop_an_old_worker(
    releases: tuple[Release, Release],
) -> None:
    old, new = releases
    new.put("[Ship(order=n) for n in range(20)]")
    done = old.work()
    assert (done.returncode, done.stderr.count("cannot be read")) == (0, 0), done.stderr
    assert {each["status"] for each in old.records()} == {"completed"}


@over_kept
def test_what_the_old_worker_cannot_read_is_run_by_the_new_one(
    releases: tuple[Release, Release],
) -> None:
    old, new = releases
    with old.working() as process:
        new.put("[Ship(order=n, note='n' * (n % 2)) for n in range(20)]")
        while "cannot be read in this process" not in (said := process.stderr.readline()):
            assert said, "the old worker ended"
        done = new.work()
        assert done.returncode == 0, done.stderr
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
    records = new.records()
    assert {each["status"] for each in records} == {"completed"}
    for each in records:
        state = each["payload"]["execution"]
        assert (state.get("tries", 0), state.get("interruptions", 0)) == (0, 0)
        if each["payload"].get("note"):
            assert state["response"] == "new"
    assert "old" in {each["payload"]["execution"]["response"] for each in records}


@over_kept
def test_alone_the_old_worker_runs_the_rest_and_ends_with_an_error_that_names_them(
    releases: tuple[Release, Release],
) -> None:
    old, new = releases
    new.put("[Ship(order=n, note='n') for n in range(3)] + [Other()]")
    done = old.work()
    assert done.returncode == 1
    records = old.records()
    waiting = [each for each in records if each["status"] == "pending"]
    assert [each["kind"] for each in waiting] == ["ship.Ship"] * 3
    assert records[-1]["status"] == "completed"
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("lionpride: ")]
    assert "3 events are pending and none of them can run" in said
    assert "cannot read 3 events of class ship.Ship, such as " in said
    assert any(each["id"] in said for each in waiting)
    assert "(note: Extra inputs are not permitted)" in said
    assert "fail_unreadable=True" in said


@over_kept
def test_two_old_workers_do_not_wait_for_each_other(releases: tuple[Release, Release]) -> None:
    old, new = releases
    new.put("[Ship(order=n, note='n') for n in range(3)]")
    with old.working("--until-empty") as one, old.working("--until-empty") as other:
        for process in (one, other):
            _, said = process.communicate(timeout=60)
            assert process.returncode == 1
            assert "none of them can run" in said
    assert {each["status"] for each in old.records()} == {"pending"}


@over_kept
def test_the_option_makes_them_failed(releases: tuple[Release, Release]) -> None:
    old, new = releases
    new.put("[Ship(order=1, note='n')]")
    done = old.work("--fail-unreadable")
    assert done.returncode == 1
    (record,) = old.records()
    assert record["status"] == "failed"
    assert "note" in str(record["payload"]["execution"]["error"])


@over_kept
def test_the_doctor_and_why_name_the_worker_and_the_field(
    releases: tuple[Release, Release],
) -> None:
    old, new = releases
    new.put("[Ship(order=n, note='n') for n in range(3)]")
    found = [json.loads(line) for line in old.doctor("--target", "ship.py")]
    (one,) = [each for each in found if each["check"] == "unreadable"]
    assert "the target cannot read 3 events of class ship.Ship that wait in queue" in one["what"]
    assert one["what"].endswith("note: Extra inputs are not permitted")
    assert not [each for each in new.doctor("--target", "ship.py") if "unreadable" in each]
    with old.working() as process:
        while "cannot be read in this process" not in (said := process.stderr.readline()):
            assert said, "the old worker ended"
        while not (found := [each for each in old.doctor() if "unreadable" in each]):
            assert process.poll() is None
        one = json.loads(found[0])
        assert one["level"] == "wrong"
        assert f"(process {process.pid} of " in one["what"]
        assert "could not read 3 events of class ship.Ship in queue 'ships'" in one["what"]
        for each in old.records():
            said = old.run("why", each["id"], "--store", old.kept).stdout
            assert "could not read" in said
            assert "(note: Extra inputs are not permitted)" in said


@over_kept
def test_an_export_has_all_fields_if_the_class_is_named(releases: tuple[Release, Release]) -> None:
    _, new = releases
    new.put("[Ship(order=1)]")
    for command in ("export",), ("show", "--json"):
        fields = [
            json.loads(new.run(*command, new.kept, *target, *ids).stdout)["payload"]
            for target in ([], ["--target", "ship.py"])
            for ids in [[each["id"] for each in new.records()] if command[0] == "show" else []]
        ]
        assert ["note" in each for each in fields] == [False, True]
        assert {**fields[0], "note": ""} == fields[1]
