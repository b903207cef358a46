"""The registry: classes by name, and no import for the asking."""

import gc
import subprocess
import sys
import textwrap
from types import ModuleType
from typing import Generic, TypeVar

import pytest

from lionpride.errors import NotFoundError, ValidationError
from lionpride.model import registry
from lionpride.model.collections.flow import Flow
from lionpride.model.collections.pile import Pile
from lionpride.model.collections.progression import Progression
from lionpride.model.element import Element

T = TypeVar("T")


class Outer:
    class Inner(Element):
        number: int = 0


class Box(Element, Generic[T]):
    content: T


class IntBox(Box[int]):
    """A class over a parametrized one."""


@pytest.mark.parametrize("kind", [Element, Progression, Pile, Flow])
def test_the_librarys_classes_have_their_public_names(kind):
    key = f"lionpride.core.{kind.__name__}"
    assert registry.key_of(kind) == key
    assert registry.find(key) is kind


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("lionpride.core.element.Element", Element),
        ("lionpride.core.flow.Flow", Flow),
        ("lionpride.core.pile.Pile", Pile),
        ("lionpride.core.progression.Progression", Progression),
    ],
)
def test_the_original_packages_names_are_understood(key, kind):
    assert registry.find(key) is kind


def test_nested_and_local_classes_are_found():
    class Local(Element):
        """Only this function knows it."""

    for kind in (Outer.Inner, Local):
        assert registry.find(registry.key_of(kind)) is kind
        assert type(Element.from_dict(kind().to_dict("json"))) is kind


def test_a_parametrized_class_reads_back_as_its_origin():
    box = Box[int](content=3)
    assert registry.key_of(Box[int]) == registry.key_of(Box)
    again = Element.from_dict(box.to_dict("json"))
    assert isinstance(again, Box)
    assert again.content == 3


def test_wherever_a_class_is_parametrized_it_is_the_same(monkeypatch):
    elsewhere = ModuleType("elsewhere")
    monkeypatch.setitem(sys.modules, "elsewhere", elsewhere)
    elsewhere.__dict__["Box"] = Box
    exec("Parametrized = Box[bytes]", elsewhere.__dict__)
    parametrized = elsewhere.__dict__["Parametrized"]
    # Newer releases of pydantic set its module to "elsewhere", older ones to that of Box.
    assert registry.key_of(parametrized) == registry.key_of(Box)


def test_a_class_over_a_parametrized_one_is_its_own():
    assert registry.find(registry.key_of(IntBox)) is IntBox
    assert registry.find(registry.key_of(Box)) is Box
    assert type(Element.from_dict(IntBox(content=3).to_dict())) is IntBox


def test_the_latest_class_of_a_name_is_found():
    def define() -> type[Element]:
        class Again(Element):
            """Defined twice, as a cell that is run again."""

        return Again

    first, second = define(), define()
    assert registry.key_of(first) == registry.key_of(second)
    assert registry.find(registry.key_of(first)) is second


def test_a_class_that_is_gone_is_not_found():
    class Gone(Element):
        """Forgotten soon."""

    key = registry.key_of(Gone)
    del Gone
    gc.collect()
    with pytest.raises(NotFoundError):
        registry.find(key)


@pytest.mark.parametrize(
    "key",
    [
        "no.such.Class",
        "this.Element",
        "Element",
        "",
        "wave.Wave_read",
        "os.system",
        "lionpride.core.No",
    ],
)
def test_data_never_triggers_an_import(key):
    before = set(sys.modules)
    with pytest.raises(NotFoundError, match="import the module that defines it"):
        Element.from_dict({"metadata": {"lion_class": key}})
    assert set(sys.modules) == before


@pytest.mark.parametrize("key", [5, ["x"], {"a": 1}])
def test_a_key_is_a_string(key):
    with pytest.raises(ValidationError, match="lion_class must be a string"):
        Element.from_dict({"metadata": {"lion_class": key}})


JOB = """
import json, sys
from lionpride.model import registry
from lionpride.model.element import Element

class Task(Element):
    what: str = "x"

if __name__ == "__main__":
    data = json.loads(sys.argv[1]) if len(sys.argv) > 1 else Task().to_dict("json")
    print(json.dumps(Element.from_dict(data).to_dict("json")))
"""


def test_a_class_of_main_is_known_by_its_file(tmp_path):
    (tmp_path / "job.py").write_text(JOB)
    importing = "import job, json; print(json.dumps(job.Task().to_dict('json')))"
    original = '{"what": "y", "metadata": {"lion_class": "__main__.Task"}}'
    commands = (["job.py"], ["-m", "job"], ["-c", importing], ["job.py", original])
    for command in commands:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={"PYTHONPATH": ":".join([*filter(None, sys.path), str(tmp_path)])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert '"lion_class": "job.Task"' in done.stdout, command


@pytest.mark.parametrize("how", [["spawned.py"], ["-m", "spawned"]])
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_class_of_main_has_the_same_key_in_processes_of_multiprocessing(tmp_path, how, method):
    (tmp_path / "spawned.py").write_text(f"""
import multiprocessing
from lionpride.model import registry
from lionpride.model.element import Element

class Task(Element):
    what: str = "x"

KEY = registry.key_of(Task)

def key(_):
    return KEY, registry.key_of(Task)

if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        print(*pool.map(key, [1])[0], KEY)
""")
    done = subprocess.run(
        [sys.executable, *how],
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join([*filter(None, sys.path), str(tmp_path)])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["spawned.Task"] * 3


def test_main_without_a_file(tmp_path):
    code = textwrap.dedent("""
        from lionpride.model.element import Element
        class Task(Element): pass
        print(type(Element.from_dict(Task().to_dict("json"))).__name__)
    """)
    done = subprocess.run(
        [sys.executable, "-"],
        input=code,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "Task"
