"""Finding the class that a command line names, and saying so when it cannot be found."""

import sys
import textwrap

import pytest

from lionpride.cli import main
from lionpride.cli.store.location import locate_store
from lionpride.cli.targets.executor import build
from lionpride.cli.targets.target import load_target, load_targets
from lionpride.cli.usage import UsageError
from lionpride.core import Event, Executor, Processor
from lionpride.stores.sqlite import SqliteStore

JOB = """
    from lionpride.core import Event, Executor, Processor
    import helper_of_job_for_target

    class Resize(Event):
        path: str = ""

        async def _invoke(self):
            pass

    class ResizeProcessor(Processor):
        event_type = Resize

    class ResizeExecutor(Executor):
        processor_type = ResizeProcessor

    class Homeless(Executor):
        pass

    class Plain:
        class Nested(Event):
            async def _invoke(self):
                pass

    thing = 3
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """The file of a job, in the working directory; what it imports is forgotten afterwards."""
    before, path = set(sys.modules), list(sys.path)
    (tmp_path / "job_for_target.py").write_text(textwrap.dedent(JOB))
    (tmp_path / "helper_of_job_for_target.py").write_text("")
    monkeypatch.chdir(tmp_path)
    yield "job_for_target.py"
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if "target" in name:
            del sys.modules[name]


def test_an_event_of_a_file_gets_a_plain_executor(job):
    target = load_target(f"{job}:Resize")
    assert issubclass(target.event_type, Event)
    assert issubclass(target.executor_type, Executor)
    assert issubclass(target.executor_type.processor_type, Processor)
    assert target.executor_type.processor_type.event_type is target.event_type
    assert target.name == "job_for_target.py:Resize"


def test_a_file_is_imported_under_its_stem_once(job, tmp_path):
    first = load_target(f"{job}:Resize").event_type
    assert first.__module__ == "job_for_target"
    assert first.class_name(full=True) == "job_for_target.Resize"
    assert load_target(f"{tmp_path / job}:Resize").event_type is first
    assert load_target("job_for_target:Resize").event_type is first


def test_an_executor_is_taken_as_it_is(job):
    target = load_target(f"{job}:ResizeExecutor")
    assert target.executor_type.__name__ == "ResizeExecutor"
    assert target.event_type.__name__ == "Resize"


def test_a_nested_class_can_be_named(job):
    assert load_target(f"{job}:Plain.Nested").event_type.__name__ == "Nested"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("job_for_target.py", ["names no class", "file.py:NAME"]),
        (":Resize", ["names no class"]),
        ("job_for_target.py:", ["names no class"]),
        ("gone.py:Resize", ["gone.py", "no file", "check the path"]),
        (".:Resize", ["is no module and no .py file"]),
        ("./:Resize", ["is a directory"]),
        ("gone_module:Resize", ["gone_module", "no module"]),
        ("gone_module.inner:Resize", ["gone_module.inner", "no module"]),
        ("job_for_target.py:Resise", ["'Resise'", "did you mean Resize?"]),
        ("job_for_target.py:Zebra", ["'Zebra'", "Homeless, Resize, ResizeExecutor"]),
        ("job_for_target.py:Plain", ["neither an Event nor an Executor"]),
        ("job_for_target.py:thing", ["is not a class but 3"]),
        ("job_for_target.py:Homeless", ["no processor_type"]),
        ("lionpride.core:Event", ["base class", "subclass"]),
        ("lionpride.core:Executor", ["processor"]),
        ("lionpride.core:Processor", ["is a Processor", "processor_type is Processor"]),
        ("json.py:Resize", ["name of the module 'json'", "rename"]),
        ("broken.py:Resize", ["broken.py line 2", "SyntaxError"]),
        ("raising.py:Resize", ["raising.py line 2", "ZeroDivisionError"]),
        ("needing.py:Resize", ["needing.py line 1", "not_installed_anywhere"]),
        ("notes.txt/x:Resize", ["no file"]),
    ],
)
def test_what_cannot_be_run_is_named_with_the_remedy(job, tmp_path, text, words):
    (tmp_path / "json.py").write_text("")
    (tmp_path / "broken.py").write_text("x = 1\ndef (:\n")
    (tmp_path / "raising.py").write_text("x = 1\n1 / 0\n")
    (tmp_path / "needing.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(UsageError) as caught:
        load_target(text)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_a_file_that_cannot_be_imported_leaves_no_module(job, tmp_path):
    (tmp_path / "raising_for_target.py").write_text("1 / 0\n")
    with pytest.raises(UsageError):
        load_target("raising_for_target.py:Resize")
    assert "raising_for_target" not in sys.modules


def test_a_module_stands_for_its_executors_and_for_events_that_none_of_them_runs(job, tmp_path):
    more = """
    from lionpride.core import Event
    from job_for_target import ResizeExecutor

    class Base(Event):
        size: int = 1

    class Crop(Base):
        async def _invoke(self):
            return self.size
    """
    (tmp_path / "more_for_target.py").write_text(textwrap.dedent(more))
    assert [target.name for target in load_targets(job)] == [f"{job}:ResizeExecutor"]
    (crop,) = load_targets("more_for_target.py")
    assert (crop.name, crop.is_plain) == ("more_for_target.py:Crop", True)
    (named,) = load_targets("more_for_target.py:ResizeExecutor")
    assert not named.is_plain


def test_a_package_stands_for_what_it_has_from_its_own_modules(job, tmp_path):
    package = tmp_path / "package_for_target"
    package.mkdir()
    code = "from lionpride.core import Event\nclass Crop(Event):\n    def _invoke(self): return 1\n"
    (package / "crops.py").write_text(code)
    (package / "__init__.py").write_text("from .crops import Crop\n")
    (crop,) = load_targets("package_for_target")
    assert crop.name == "package_for_target:Crop"


def test_a_module_with_nothing_to_run_is_no_target(job, tmp_path):
    (tmp_path / "helper_of_job_for_target.py").write_text("from lionpride.core import Event\n")
    with pytest.raises(UsageError, match="defines no Event that does something"):
        load_targets("helper_of_job_for_target.py")


def test_an_event_that_does_nothing_is_no_target_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "idle_for_target.py"
    path.write_text("from lionpride.core import Event\n\nclass Idle(Event):\n    pass\n")
    with pytest.raises(UsageError, match=r"Idle does nothing: write `async def _invoke"):
        load_target(f"{path}:Idle")
    sys.modules.pop("idle_for_target")


FRONT = """
    from lionpride import Event, Executor, current, job

    @job
    async def fetch(url: str) -> str:
        return url.upper()

    class Square(Event):
        number: int

        async def _invoke(self) -> int:
            return self.number**2

    @job
    async def alone(x: int) -> int:
        return x

    def not_a_job(x: int) -> int:
        return x

    crawler = Executor.of(fetch, concurrency_limit=3, name="crawler")
    mixed = Executor.of(fetch, Square, queue="mixed")

    class Own(Executor):
        processor_type = type(crawler).processor_type

    own = Own()
"""


@pytest.fixture
def front(job, tmp_path):
    """The file of functions under `@job`, and of executors at the top of a module."""
    (tmp_path / "front_for_target.py").write_text(textwrap.dedent(FRONT))
    return "front_for_target.py"


def test_a_function_under_job_is_a_target(front):
    target = load_target(f"{front}:fetch")
    assert issubclass(target.event_type, Event)
    assert target.event_type.class_name(full=True) == "front_for_target.fetch"


def test_an_executor_of_a_module_is_made_again_over_the_store_of_the_command(front, tmp_path):
    target = load_target(f"{front}:crawler")
    place = locate_store(str(tmp_path / "run.db"))
    executor = build(target, {"queue_capacity": 5}, place, None)
    assert executor.processor_config == {"concurrency_limit": 3, "queue_capacity": 5}
    assert executor.states.name == "crawler"
    store = executor.store
    assert store.queue == "front_for_target.fetch"
    assert isinstance(store, SqliteStore)
    assert store.path == tmp_path / "run.db"


def test_an_executor_of_several_types_is_a_target_of_a_worker(front):
    (target,) = load_targets(f"{front}:mixed")
    assert [each.__name__ for each in target.executor_type.named_types] == ["fetch", "Square"]
    assert build(target, {}, None, None).store.queue == "mixed"
    with pytest.raises(UsageError, match=r"several event types \(fetch, Square\): name one"):
        load_target(f"{front}:mixed")


def test_a_module_stands_for_the_executors_at_its_top(front):
    names = [target.name.partition(":")[2] for target in load_targets(front)]
    assert names == ["Own", "crawler", "mixed", "alone"]


def test_a_worker_takes_the_store_of_the_executor_unless_another_is_named(
    front, tmp_path, monkeypatch, capfd
):
    (tmp_path / "stored_for_target.py").write_text(
        "from lionpride import Executor\nfrom front_for_target import fetch\n"
        "stored = Executor.of(fetch, store='sqlite:///own.db')\n"
    )
    (tmp_path / "in.jsonl").write_text('{"url": "a"}\n')
    run = ["run", "stored_for_target.py:stored", "--input", "in.jsonl"]
    assert main([*run]) == 0
    assert main([*run, "--store", "other.db"]) == 0
    assert (tmp_path / "own.db").exists()
    assert (tmp_path / "other.db").exists()
    assert main(["work", "stored_for_target.py:stored", "--until-empty"]) == 0
    assert (
        "working on front_for_target.fetch (0 pending) of sqlite:///own.db" in capfd.readouterr()[1]
    )
    assert main(["work", f"{front}:crawler", "--until-empty"]) == 2
    assert "--store is needed, since no executor has a store" in capfd.readouterr()[1]


def test_a_function_without_job_is_named_with_the_remedy(front):
    with pytest.raises(UsageError, match="write `@job` above `def not_a_job`"):
        load_target(f"{front}:not_a_job")


def test_an_executor_that_cannot_be_made_again_is_named_with_the_remedy(front):
    with pytest.raises(UsageError, match=r"name its class Own, or make it with Executor.of"):
        load_target(f"{front}:own")


def test_an_executor_that_has_two_names_is_one_target(job, tmp_path):
    (tmp_path / "twice_for_target.py").write_text(
        "from lionpride import Executor, job\n@job\nasync def fetch(url: str) -> str: ...\n"
        "@job\nasync def other(x: int) -> int: ...\n"
        "crawler = Executor.of(fetch)\nmain = crawler\nagain = other\n"
    )
    targets = load_targets("twice_for_target.py")
    assert [target.event_type.__name__ for target in targets] == ["fetch", "other"]


def test_events_without_an_executor_are_in_the_store_of_the_executors(job, tmp_path, capfd):
    (tmp_path / "beside_for_target.py").write_text(
        "from lionpride import Executor, job\n@job\nasync def fetch(url: str) -> str: ...\n"
        "@job\nasync def other(x: int) -> int: ...\n"
        "crawler = Executor.of(fetch, store='sqlite:///own.db')\n"
    )
    assert main(["work", "beside_for_target.py", "--until-empty"]) == 0
    assert "of sqlite:///own.db" in capfd.readouterr()[1]


def test_a_lifespan_that_fails_is_said_in_one_line(front, tmp_path, capfd):
    (tmp_path / "failing_for_target.py").write_text(
        "from contextlib import asynccontextmanager\n"
        "from lionpride import Executor\nfrom front_for_target import fetch\n"
        "@asynccontextmanager\n"
        "async def lifespan(executor):\n"
        "    raise OSError('no network')\n"
        "    yield\n"
        "failing = Executor.of(fetch, lifespan=lifespan)\n"
    )
    (tmp_path / "in.jsonl").write_text('{"url": "a"}\n')
    named = "failing_for_target.py:failing"
    assert main(["run", named, "--input", "in.jsonl"]) == 1
    assert main(["work", named, "--store", "run.db"]) == 1
    said = capfd.readouterr()[1]
    assert said.count("failing_for_target.py line 6: OSError: no network") == 2
    assert "Traceback" not in said
