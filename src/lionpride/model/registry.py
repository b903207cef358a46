"""Classes by name, so that data can be read back.

Every subclass of Element enters as it is defined. Data never triggers an import: a class that
this process has not defined is not found, and the error says what to import.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ..errors import UnknownClassError, ValidationError

if TYPE_CHECKING:
    from .element import Element

__all__ = ("find", "is_defined", "is_unfinished", "key_of", "register")

_CORE = "lionpride.core."
_classes: WeakValueDictionary[str, type[Element]] = WeakValueDictionary()


def key_of(cls: type[Any]) -> str:
    """The name a class is recorded under: ``module.Class``.

    The library's own classes stand under ``lionpride.core``, wherever they live. A class of
    ``__main__`` stands under its file's stem (or the module that ``python -m`` named), so that
    ``job.py`` run, imported or given to the command line is one key. ``Box[int]`` stands under
    ``Box``, wherever it was written.
    """
    generic = cls.__dict__.get("__pydantic_generic_metadata__", {})  # its own, not a base's
    cls = generic.get("origin") or cls
    name = cls.__qualname__.split("[", 1)[0]
    module = cls.__module__
    if module == "__main__":
        module = _main_name()
    elif module.split(".", 1)[0] == "lionpride":
        return _CORE + name
    return f"{module}.{name}"


def _main_name() -> str:
    """What ``__main__`` is called when it is imported instead of run."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return _stem(file) if file else "__main__"


@cache
def _stem(file: str) -> str:
    return PurePath(file).stem


def is_unfinished(module: str) -> bool:
    """Return True if a module may still define names: it runs, or is being imported."""
    if module in ("__main__", _main_name()):
        return True
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))  # set by importlib during an import


def register(cls: type[Element]) -> None:
    """Enter a class under its key; a later class of the same key takes its place."""
    if "[" not in cls.__qualname__:  # Flow[E, P] reads back as Flow
        _classes[key_of(cls)] = cls


def find(key: str) -> type[Element]:
    """The class recorded under a key, or under the original package's name for it.

    Raises:
        ValidationError: if the key is not a string.
        UnknownClassError: if this process has not defined such a class.
    """
    if not isinstance(key, str):
        raise ValidationError(f"lion_class must be a string, not {key!r}")
    found = _classes.get(key)
    if found is None and key.startswith("__main__."):
        found = _classes.get(f"{_main_name()}.{key.removeprefix('__main__.')}")
    if found is None and key.startswith("lionpride."):
        found = _classes.get(_CORE + key.rpartition(".")[2])
    if found is None:
        raise UnknownClassError(
            f"class {key!r} is not defined in this process: "
            "import the module that defines it before reading data of it"
        )
    return found


def is_defined(key: str) -> bool:
    """Whether this process has the class of a key."""
    try:
        find(key)
    except UnknownClassError:
        return False
    return True
