"""The target of a command: ``file.py:NAME`` or ``package.module:NAME``.

NAME is an event class, an executor class, a function under ``@job``, or an executor that
``Executor.of`` made at the top of the module.

A file is imported under its stem, with its directory searched first, as ``python file.py`` does.
So the events of ``job.py`` have the registry key ``job.Class`` whether the file is run, imported
or named here.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from ...core import Event, Executor, Processor
from ...drawing.text import one_line, trouble
from ...engine.factory import executor_class
from ...model.registry import key_of
from ..grammar import Decorator, option
from ..usage import UsageError

__all__ = [
    "Target",
    "executor_for",
    "load_shared",
    "load_target",
    "load_targets",
    "queue_of",
    "target_option",
]

FORMS = "write file.py:NAME or package.module:NAME"


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a command.

    Attributes:
        name: The text that named it.
        event_type: The class of its events.
        executor_type: The class of their executor.
        is_plain: True if the executor class was made here, without rules of its own.
    """

    name: str
    event_type: type[Event]
    executor_type: type[Executor]
    is_plain: bool = False

    @property
    def made_with(self) -> Mapping[str, Any]:
        """The arguments of an executor that ``Executor.of`` made."""
        return self.executor_type.made_with

    @property
    def store(self) -> str | None:
        """The URL of the store that the executor was made with; None for memory."""
        store = self.made_with.get("store")
        return store if isinstance(store, str) and store != "memory://" else None


def load_target(text: str, *, any_event: bool = False) -> Target:
    """Import what `text` names and make an executor class of it.

    Args:
        text: file.py:NAME or package.module:NAME.
        any_event: True to accept an executor for any class of events.

    Raises:
        UsageError: saying what is missing or wrong, and what to write instead.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise UsageError(f"TARGET {text!r} names no class: {FORMS}{_offer(text)}")
    found = _find(_import(place), place, name)
    if isinstance(found, Executor):
        return _target_of(text, found, any_event)
    if inspect.isroutine(found):
        raise UsageError(f"{text} is a function: write `@job` above `def {name}`")
    if not isinstance(found, type):
        raise UsageError(f"{text} is not a class but {one_line(repr(found))[:60]}: {FORMS}")
    if issubclass(found, Executor):
        return Target(text, _event_type(text, found, any_event), found)
    if found is Event:
        raise UsageError(f"{text} is the base class, which does nothing: name a subclass of Event")
    if issubclass(found, Event):
        _check_does_something(text, found)
        return Target(text, found, executor_for(found), is_plain=True)
    if issubclass(found, Processor):
        raise UsageError(
            f"{text} is a Processor: name an Executor whose processor_type is {name}, or an Event"
        )
    raise UsageError(
        f"{text} is neither an Event nor an Executor: let {name} inherit from lionpride.core.Event"
    )


def target_option(text: str) -> Decorator:
    """Return a decorator that adds ``--target``, for a command that can do without it."""
    return option("--target", "targets", metavar="TARGET", multiple=True, help=text)


def load_targets(text: str, queues: Collection[str] = ()) -> list[Target]:
    """Return the targets of a worker: one class, or everything in a module that can be run.

    In a module these are its executors, and the event classes that no executor of it runs. Names
    that a package imports from its own modules count as well.

    Args:
        text: file.py, package.module, or one of their names, as for `load_shared`.
        queues: The queues that are asked for.

    Raises:
        UsageError: as `load_shared`; or if a module has nothing to run.
    """
    if ":" in text:
        return [load_shared(text, queues, any_event=True)]
    found = _runnable_of(_import(text))
    targets = _executors(text, found)
    taken = {kind for target in targets for kind in _event_types(target)}
    targets += [
        Target(f"{text}:{name}", kind, executor_for(kind), is_plain=True)
        for name, kind in found.items()
        if isinstance(kind, type) and issubclass(kind, Event)
        if kind not in taken and _does_something(kind)
    ]
    if not targets:
        raise UsageError(f"{text} defines no Event that does something, and no Executor of one")
    return targets


def load_shared(text: str, queues: Collection[str] = (), *, any_event: bool = False) -> Target:
    """Return the target that producers and workers of a module share: the same queue and store.

    A worker of a module runs an event class with the executor of the module that ``Executor.of``
    made for it. So if TARGET is the class, its target is that executor.

    Args:
        text: file.py:NAME or package.module:NAME.
        queues: The queues that are asked for; empty for that of the executor.
        any_event: True to accept an executor for several classes of events.

    Raises:
        UsageError: as `load_target`; or if several executors of the module run the class, and no
            queue is asked for.
    """
    target = load_target(text, any_event=any_event)
    if not target.is_plain:
        return target
    place = text.rpartition(":")[0]
    executors = [
        each
        for each in _executors(place, _runnable_of(_import(place)))
        if target.event_type in each.executor_type.named_types
    ]
    if len(executors) > 1:
        if not queues:
            names = ", ".join(each.name for each in executors)
            raise UsageError(
                f"{text} is run by several executors ({names}): name one of them, or its queue "
                "with --queue"
            )
        executors = [each for each in executors if queue_of(each) in queues]
    if len(executors) != 1:
        return target
    return replace(executors[0], event_type=target.event_type)


def queue_of(target: Target) -> str:
    """Return the queue that the executor of a target was made with, or else that of its class."""
    queue = target.made_with.get("queue")
    return queue if isinstance(queue, str) else key_of(target.event_type)


def _import(place: str) -> ModuleType:
    """Import a file or a module."""
    return _import_file(Path(place)) if _is_file(place) else _import_module(place)


def _runnable_of(module: ModuleType) -> Mapping[str, Any]:
    """Return what a worker of a module can run, by its first name there."""
    names = _runnable(module, inside=True)
    by_value = {id(getattr(module, name)): name for name in reversed(names)}  # two names of one
    chosen = [name for name in names if name in by_value.values()]
    return {name: _asynchronous(getattr(module, name)) for name in chosen}


def _executors(place: str, found: Mapping[str, Any]) -> list[Target]:
    """Return the executors among what a worker of a module can run."""
    names = [name for name, value in found.items() if _can_run(value)]
    return [load_target(f"{place}:{name}", any_event=True) for name in names]


def _can_run(value: Any) -> bool:
    """Return True for an executor of ``Executor.of``, or a class with an event type."""
    if isinstance(value, Executor):
        return bool(value.named_types)
    processor_type = getattr(value, "processor_type", None)
    is_class = isinstance(value, type) and issubclass(value, Executor)
    return is_class and getattr(processor_type, "event_type", None) is not None


def _event_types(target: Target) -> tuple[type[Event], ...]:
    return target.executor_type.named_types or (target.event_type,)


def _target_of(text: str, executor: Executor, any_event: bool) -> Target:
    """The target of an executor at the top of a module.

    Raises:
        UsageError: if ``Executor.of`` has not made it; or if it has several event types.
    """
    kind = type(executor)
    if not kind.named_types:
        raise UsageError(
            f"{text} is an executor that cannot be made again over another store: name its class "
            f"{kind.__name__}, or make it with Executor.of(...)"
        )
    if len(kind.named_types) > 1 and not any_event:
        names = ", ".join(each.__name__ for each in kind.named_types)
        raise UsageError(f"{text} has several event types ({names}): name one of them")
    return Target(text, executor.event_type, kind)


def _does_something(event_type: type[Event]) -> bool:
    """Return True if an event class has code to run; otherwise it is a base class."""
    names = ("_invoke", "_stream", "stream")
    return any(getattr(event_type, name) is not getattr(Event, name) for name in names)


def _check_does_something(text: str, event_type: type[Event]) -> None:
    if not _does_something(event_type):
        name = event_type.__name__
        raise UsageError(f"{text}: {name} does nothing: write `async def _invoke(self)` in it")


def executor_for(*event_types: type[Event]) -> type[Executor]:
    """Return an executor class for classes of events, as ``Executor.of`` makes it."""
    return executor_class(Executor, event_types, Processor, None)


def _event_type(text: str, executor_type: type[Executor], any_event: bool) -> type[Event]:
    processor_type = getattr(executor_type, "processor_type", None)
    event_type = getattr(processor_type, "event_type", None)
    if not isinstance(processor_type, type) or not issubclass(processor_type, Processor):
        raise UsageError(f"{text} has no processor_type: set it to a subclass of Processor")
    problem = (
        f"{text}: its processor {processor_type.__name__} has no event_type: "
        "set it to a subclass of Event"
    )
    if not isinstance(event_type, type) or not issubclass(event_type, Event):
        raise UsageError(problem)
    if event_type is Event and not any_event:
        raise UsageError(problem)
    if not any_event:
        _check_does_something(text, event_type)
    return event_type


def _is_file(place: str) -> bool:
    return place.endswith(".py") or "/" in place or "\\" in place


def _import_file(path: Path) -> ModuleType:
    if path.is_dir():
        raise UsageError(f"{path} is a directory: name a .py file in it, as file.py:NAME")
    if not path.is_file():
        raise UsageError(f"no file {path} in {Path.cwd()}: check the path{_near(path)}")
    stem, path = path.stem, path.resolve()
    known = sys.modules.get(stem)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    if known is not None or stem in sys.stdlib_module_names:
        raise UsageError(f"{path.name} has the name of the module {stem!r}: rename the file")
    spec = importlib.util.spec_from_file_location(stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path.name} is not a Python file: its name must end in .py")
    _search_first(path.parent)
    module = importlib.util.module_from_spec(spec)
    sys.modules[stem] = module
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        sys.modules.pop(stem, None)
        raise UsageError(_broken(path.name, error)) from error
    return module


def _import_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{name!r} is no module and no .py file: {FORMS}")
    _search_first(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                f"no module {name!r} in {Path.cwd()} or among the installed packages: "
                "check the name, or write the path as file.py:NAME"
            ) from error
        raise UsageError(_broken(name, error)) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UsageError(_broken(name, error)) from error


def _search_first(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _broken(name: str, error: BaseException) -> str:
    """Say where an import failed and what may help, in one line."""
    remedy = ""
    if isinstance(error, SystemExit) and isinstance(error.code, str):
        return f"cannot import {name}: {one_line(error.code)}"
    if isinstance(error, SystemExit):
        remedy = '; put what a script does under `if __name__ == "__main__":`'
    return f"cannot import {name}: {trouble(error)}{remedy}"


def _find(module: ModuleType, place: str, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            offers = _runnable(module)
            close = difflib.get_close_matches(name, offers, n=1)
            hint = (
                f"did you mean {close[0]}?"
                if close
                else (
                    f"it has {', '.join(offers)}"
                    if offers
                    else "it defines no Event and no Executor"
                )
            )
            raise UsageError(f"{place} has no {name!r}: {hint}") from None
    return _asynchronous(found)


def _asynchronous(value: Any) -> Any:
    """Return the asynchronous executor of one of ``lionpride.sync``; any other value as it is."""
    module = sys.modules.get("lionpride.sync")  # not imported here: a target imports it or not
    if module is not None and isinstance(value, module.Executor):
        return value.asynchronous
    return value


def _runnable(module: ModuleType, *, inside: bool = False) -> list[str]:
    """The names in a module that could be a target; `inside`: those of modules in it too."""
    return sorted(
        name
        for name, value in ((key, _asynchronous(each)) for key, each in vars(module).items())
        if isinstance(value, Executor)
        or (
            isinstance(value, type)
            and issubclass(value, (Event, Executor))
            and (
                value.__module__ == module.__name__
                or (inside and value.__module__.startswith(f"{module.__name__}."))
            )
        )
    )


def _offer(text: str) -> str:
    """For a file without a class: an example to go by."""
    return f", for example {text}:MyEvent" if text.endswith(".py") else ""


def _near(path: Path) -> str:
    """Where a file of that name is, if it is one directory away."""
    found = [str(p) for p in (*Path().glob(f"*/{path.name}"), Path(path.name)) if p.is_file()]
    return f" (did you mean {found[0]}?)" if found else ""
