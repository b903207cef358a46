"""Classes by name, so that data can be read back.

Every subclass of Element enters as it is defined. Data never triggers an import: a class that
this process has not defined is not found, and the error says what to import.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from ..errors import ConfigurationError, UnknownClassError, ValidationError

if TYPE_CHECKING:
    from .element import Element

__all__ = ("find", "first_key_of", "is_defined", "is_unfinished", "key_of", "register")

_CORE = "lionpride.core."
_classes: WeakValueDictionary[str, type[Element]] = WeakValueDictionary()
_former: WeakValueDictionary[str, type[Element]] = WeakValueDictionary()
"""Classes by the keys that they list in ``former_names``."""


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
    if module in _MAIN:
        module = _main_name(module)
    elif module.split(".", 1)[0] == "lionpride":
        return _CORE + name
    return f"{module}.{name}"


_MAIN: Final = ("__main__", "__mp_main__")
"""Names of the module that is run; multiprocessing gives it the second one in a new process."""


def _main_name(module: str = "__main__") -> str:
    """Return what ``__main__`` is called when it is imported instead of run."""
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return _stem(file) if file else module


@cache
def _stem(file: str) -> str:
    return PurePath(file).stem


def is_unfinished(module: str) -> bool:
    """Return True if a module may still define names: it runs, or is being imported."""
    if module in _MAIN or module == _main_name():
        return True
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))  # set by importlib during an import


def first_key_of(cls: type[Any]) -> str:
    """Return the oldest key of a class: the first of its former names, or its key."""
    return next(iter(_former_names(cls)), None) or key_of(cls)


def register(cls: type[Element]) -> None:
    """Enter a class under its key; a later class of the same key takes its place.

    Raises:
        ConfigurationError: if its former names are no names, or another class lists one of them;
            the class is not entered then.
    """
    if "[" in cls.__qualname__:  # Flow[E, P] reads back as Flow
        return
    key, names = key_of(cls), _former_names(cls)
    for name in names:
        other = _former.get(name)
        if other is not None and key_of(other) != key:
            raise ConfigurationError(
                f"{key}.former_names has {name!r}, which {key_of(other)}.former_names has too: "
                "remove it from the class that did not have this name"
            )
    for name, other in tuple(_former.items()):
        if key_of(other) == key:  # its place is taken
            _former.pop(name, None)
    _classes[key] = cls
    for name in names:
        _former[name] = cls


def _former_names(cls: type[Any]) -> tuple[str, ...]:
    """Return the former names that a class itself lists; a field of this name is none.

    Raises:
        ConfigurationError: if they are no names.
    """
    if "former_names" not in vars(cls) or "former_names" not in cls.__class_vars__:
        return ()
    names: Any = vars(cls)["former_names"]
    is_list = isinstance(names, tuple | list)
    if not is_list or not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(
            f"{cls.__qualname__}.former_names must be a tuple of registry keys, as in "
            f"('jobs.Mail',), not {names!r}"
        )
    return tuple(names)


def find(key: str) -> type[Element]:
    """Return the class of a key, of the original package's name for it, or of a former name.

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
        found = _former.get(key)
    if found is None:
        raise UnknownClassError(
            f"class {key!r} is not defined in this process: "
            "import the module that defines it before reading data of it; if the class was moved "
            f"or renamed, list {key!r} in its former_names"
        )
    return found


def is_defined(key: str) -> bool:
    """Whether this process has the class of a key."""
    try:
        find(key)
    except UnknownClassError:
        return False
    return True
