"""A class that was moved or renamed finds its stored events: ``former_names``."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kept import KEPT, url_of

from lionpride import ConfigurationError, Element, Event, Executor, UnknownClassError, job
from lionpride.model import registry

BEFORE = {
    "mails.py": """
from lionpride import Event, job

class Mail(Event):
    to: str
    async def _invoke(self):
        return f"to {self.to}"

class Note(Mail):
    pass

@job
async def fetch(url: str) -> str:
    return url
""",
    "append.py": """
import asyncio, json, sys
from lionpride import Executor
from mails import Mail, Note, fetch

async def main():
    mails = Executor.of(Mail, store=sys.argv[1])
    done = Mail(to="first")
    async with mails:
        await mails.run(done)
    mails = Executor.of(Mail, store=sys.argv[1])
    waiting = [Mail(to="a", metadata={"n": 1}), Note(to="b"), Mail(to="c")]
    await mails.append_many(waiting)
    fetches = Executor.of(fetch, store=sys.argv[1])
    await fetches.append(fetch("x"))
    print(json.dumps([str(one.id) for one in (done, *waiting)]))
    await mails.store.close()
    await fetches.store.close()

asyncio.run(main())
""",
}

AFTER = {
    "app/__init__.py": "",
    "app/post.py": """
from typing import ClassVar
from lionpride import Event, job

class Letter(Event):
    former_names: ClassVar[tuple[str, ...]] = ("mails.Mail",)
    to: str
    async def _invoke(self):
        return f"letter to {self.to}"

class Memo(Letter):
    former_names: ClassVar[tuple[str, ...]] = ("mails.Note",)

@job(former_names=("mails.fetch",))
async def download(url: str) -> str:
    return url * 2
""",
    "run.py": """
import asyncio, json, sys
from uuid import UUID
from lionpride import EventStatus, Executor
from app.post import Letter, download

async def main():
    ids = [UUID(one) for one in json.loads(sys.argv[2])]
    letters = Executor.of(Letter, store=sys.argv[1])
    async with letters:
        await letters.join()
        found = [await letters.get(one) for one in ids]
        kinds = [type(one).__name__ for one in found]
        print(json.dumps([kinds, [await letters.result(one) for one in ids]]))
    downloads = Executor.of(download, store=sys.argv[1])
    async with downloads:
        await downloads.join()
        page = await downloads.store.list_records(EventStatus.COMPLETED, after=None, limit=9)
    print(json.dumps([one.event().response for one in page]))

asyncio.run(main())
""",
}


def run(folder: Path, files: dict[str, str], name: str, *arguments: str) -> str:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    done = subprocess.run(
        [sys.executable, name, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", KEPT)
def test_events_of_a_moved_class_are_read_and_run_under_its_new_name(
    kind: str, tmp_path: Path
) -> None:
    url = url_of(kind, tmp_path)
    ids = run(tmp_path / "before", BEFORE, "append.py", url)
    first, second = run(tmp_path / "after", AFTER, "run.py", url, ids).splitlines()
    kinds, results = json.loads(first)
    assert kinds == ["Letter", "Letter", "Memo", "Letter"]
    assert results == ["to first", "letter to a", "letter to b", "letter to c"]
    assert json.loads(second) == ["xx"]


def test_exported_events_of_a_moved_class_can_be_imported_and_run(tmp_path: Path) -> None:
    url = url_of("sqlite", tmp_path, "old")
    run(tmp_path / "before", BEFORE, "append.py", url)
    target, exported = url_of("sqlite", tmp_path, "new"), str(tmp_path / "old.jsonl")
    command = [sys.executable, "-m", "lionpride"]
    subprocess.run([*command, "export", url, "-o", exported], check=True, timeout=60)
    subprocess.run([*command, "import", exported, target], check=True, timeout=60)
    first, second = run(tmp_path / "after", AFTER, "run.py", target, "[]").splitlines()
    assert json.loads(first) == [[], []]
    assert json.loads(second) == ["xx"]


class Moved(Element):
    former_names: ClassVar[tuple[str, ...]] = ("shop.Old", "shop.Older")
    number: int = 0


class Sub(Moved):
    """It has no former names: they are not inherited."""


def data_of(key: str) -> dict[str, Any]:
    return {"number": 3, "metadata": {"lion_class": key}}


def test_data_under_each_former_name_is_read() -> None:
    for key in ("shop.Old", "shop.Older"):
        assert registry.is_defined(key)
        found = Element.from_dict(data_of(key))
        assert type(found) is Moved
        assert found.number == 3
        assert found.to_dict()["metadata"]["lion_class"] == registry.key_of(Moved)


def test_the_error_for_an_unknown_class_names_the_remedy() -> None:
    with pytest.raises(UnknownClassError, match=r"'shop\.Never'.*former_names"):
        Element.from_dict(data_of("shop.Never"))


def test_a_class_that_is_defined_under_the_name_goes_before_a_former_name() -> None:
    kind = type(Element)("Old", (Element,), {"__module__": "shop", "__qualname__": "Old"})
    assert registry.find("shop.Old") is kind
    assert registry.find("shop.Older") is Moved
    del kind
    gc.collect()
    assert registry.find("shop.Old") is Moved


def test_two_classes_with_one_former_name_are_refused_and_named() -> None:
    with pytest.raises(ConfigurationError, match=r"Second\.former_names.*'shop\.Old'.*Moved"):

        class Second(Element):
            former_names: ClassVar[tuple[str, ...]] = ("shop.Other", "shop.Old")

    assert registry.find("shop.Old") is Moved
    assert not registry.is_defined("shop.Other")


def cell(*names: str) -> type[Element]:
    """Define a class, as a cell of a notebook does each time it is run."""

    class Cell(Element):
        former_names: ClassVar[tuple[str, ...]] = names

    return Cell


def test_a_class_can_be_defined_again_with_other_former_names() -> None:
    first = cell("shop.A", "shop.B")
    second = cell("shop.B", "shop.C")
    assert first is not second
    assert registry.find("shop.B") is registry.find("shop.C") is second
    assert not registry.is_defined("shop.A")


@pytest.mark.parametrize("names", ["shop.Old", ("shop.X", 3), ("",), 5, None], ids=repr)
def test_wrong_former_names_are_refused(names: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Wrong\.former_names must be a tuple of"):

        class Wrong(Element):
            former_names: ClassVar[Any] = names

    with pytest.raises(ConfigurationError, match=r"former_names"):

        @job(former_names=names if names is not None else 0)
        async def wrong() -> None: ...


def test_a_field_may_have_this_name() -> None:
    class Person(Event):
        former_names: list[str] = ["shop.Old"]  # type: ignore[misc]  # noqa: RUF012

    person = Person()
    assert Element.from_dict(person.to_dict("json")).to_dict()["former_names"] == ["shop.Old"]
    person.former_names = ["x"]
    assert registry.find("shop.Old") is Moved

    @job
    async def rename(former_names: list[str]) -> None: ...

    assert rename(["a"]).to_dict()["former_names"] == ["a"]


async def test_the_default_queue_keeps_the_first_former_name() -> None:
    class Renamed(Event):
        former_names: ClassVar[tuple[str, ...]] = ("shop.First", "shop.Later")

    assert Executor.of(Renamed).store.queue == "shop.First"
    assert Executor.of(Renamed, queue="q").store.queue == "q"
