"""Finding the class that a command line names, and saying so when it cannot be found."""

import sys
import textwrap

import pytest

from lionpride.cli.target import load_target, load_targets
from lionpride.cli.usage import UsageError
from lionpride.core import Event, Executor, Processor

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
        ("job_for_target.py", ["names no class", "file.py:Class"]),
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
