"""Settings of the command line from the environment and from pyproject.toml.

The option ``--until-empty`` is the variable ``LIONPRIDE_UNTIL_EMPTY``, and the key ``until-empty``
of ``[tool.lionpride]`` in the nearest pyproject.toml; a table such as ``[tool.lionpride.work]`` is
for one command, and comes before the general one. The command line comes first, then the
environment, then the file. A setting describes an installation. What only one call is about, such
as ``--status``, is no setting.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from ..drawing.text import one_line, shorten
from .usage import UsageError

__all__ = ["PREFIX", "SETTINGS", "SettingsFile", "check_environment", "find_file", "name_of"]

PREFIX: Final = "LIONPRIDE_"

SETTINGS: Final = (
    "store",
    "target",
    "queue",
    "concurrency",
    "capacity",
    "refresh",
    "timeout",
    "grace",
    "until-empty",
    "fail-unreadable",
    "quiet",
    "health-port",
    "metrics-port",
    "log-level",
    "log-format",
    "processes",
    "max-events",
    "max-memory",
)
"""The names of all settings, so that a misspelt one is known without an import of all commands."""

FILE: Final = "pyproject.toml"
TABLE: Final = "[tool.lionpride]"
ALIKE: Final = 0.8
"""Similarity from which on an unknown variable counts as a misspelt setting."""

_SQLITE: Final = "sqlite:///"


def name_of(param: click.Parameter) -> str | None:
    """Return the name of a setting; None for an argument or an option that is none."""
    if not isinstance(param.envvar, str):
        return None
    return param.envvar.removeprefix(PREFIX).lower().replace("_", "-")


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse a variable that is almost the name of a setting.

    Other variables may begin with the prefix too: Kubernetes makes some for each service.

    Raises:
        UsageError: names the variable, and the one that was probably meant.
    """
    known = {name.upper().replace("-", "_") for name in SETTINGS}
    for variable in environment:
        name = variable.removeprefix(PREFIX)
        if name == variable or name in known:
            continue
        if close := difflib.get_close_matches(name, known, n=1, cutoff=ALIKE):
            raise UsageError(
                f"{variable}={shorten(environment[variable], 40)}: there is no such setting: did "
                f"you mean {PREFIX}{close[0]}? Rename the variable, or unset it"
            )


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The settings of a pyproject.toml.

    Attributes:
        path: The file.
        values: What it gives for each setting.
        tables: The name of the table that a value is from.
    """

    path: Path
    values: Mapping[str, Any]
    tables: Mapping[str, str]

    def defaults(self, params: list[click.Parameter]) -> dict[str, Any]:
        """Return the values for the parameters of a command, by the names of the parameters.

        Raises:
            UsageError: if a value has the wrong type; with the key, the value and the right type.
        """
        found: dict[str, Any] = {}
        for param in params:
            name = name_of(param)
            if name is not None and name in self.values and param.name is not None:
                found[param.name] = self._value(name, param)
        self._check_used({name_of(each) or each.name for each in params})
        return found

    def _check_used(self, taken: Collection[str | None]) -> None:
        """Refuse a key in the table of a command that does not take it."""
        for name, table in self.tables.items():
            if table != TABLE and name not in taken:
                raise self._wrong(name, f"the command does not take it: move it to {TABLE}")

    def store(self) -> str | None:
        """Return the store; a path is relative to the folder of the file.

        Raises:
            UsageError: if it is no text.
        """
        value = self.values.get("store")
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise self._wrong("store", "write a text, such as 'run.db'")
        for prefix in (_SQLITE, ""):
            path = value.removeprefix(prefix)
            if value.startswith(prefix) and "://" not in path:
                return prefix + self._here(path)
        return value

    def where(self, name: str) -> str:
        """Return the name of a setting in messages."""
        return f"{self.path}: {name} in {self.tables[name]}"

    def _value(self, name: str, param: click.Parameter) -> Any:
        """Return a value as the command line would have it: text, a list of texts, or a flag."""
        value = self.values[name]
        if name == "store":
            return self.store()
        if isinstance(param, click.Option) and param.is_flag:
            if not isinstance(value, bool):
                raise self._wrong(name, "write true or false")
            return value
        if param.multiple or param.nargs != 1:
            texts = value if isinstance(value, list) else [value]
            if not texts or not all(isinstance(each, str) and each for each in texts):
                raise self._wrong(name, "write a list of texts")
            return [self._here(each) if _is_file(each) else each for each in texts]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._wrong(name, "write a number or a text")
        return str(value)

    def _wrong(self, name: str, remedy: str) -> UsageError:
        shown = shorten(one_line(repr(self.values[name])), 60)
        return UsageError(f"{self.where(name)}: cannot be {shown}: {remedy}")

    def _here(self, path: str) -> str:
        """Return a path that is relative to the folder of the file, for the current folder."""
        folder = os.path.relpath(self.path.parent)
        return path if folder == os.curdir else os.path.join(folder, path)  # noqa: PTH118  of a text


def find_file(folder: Path, command: str, commands: Collection[str]) -> SettingsFile | None:
    """Return the settings of the nearest pyproject.toml, in a folder or above it.

    Args:
        folder: Where to look first.
        command: The command that is called.
        commands: The names of all commands.

    Raises:
        UsageError: if it cannot be read, or has a setting that there is not.
    """
    path = next(
        (each / FILE for each in (folder, *folder.parents) if (each / FILE).is_file()), None
    )
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}; correct it, or change the folder"
        ) from error
    if "lionpride" not in text:
        return None
    import tomllib  # late: most folders have no settings

    try:
        tool = tomllib.loads(text).get("tool")
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}; correct it") from error
    values = tool.get("lionpride") if isinstance(tool, dict) else None
    if values is None:
        return None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: tool.lionpride must be a table: write {TABLE}")
    general = {name: each for name, each in values.items() if not isinstance(each, dict)}
    tables = {name: each for name, each in values.items() if isinstance(each, dict)}
    for name in tables:
        if name not in commands:
            hint = _hint(name, commands)
            raise UsageError(f"{path}: [tool.lionpride.{name}]: {name} is no command: {hint}")
    _check_names(path, TABLE, general)
    for name, each in tables.items():
        _check_names(path, _table(name), each)
    own = tables.get(command, {})
    return SettingsFile(
        path,
        general | own,
        dict.fromkeys(general, TABLE) | dict.fromkeys(own, _table(command)),
    )


def _table(command: str) -> str:
    return f"[tool.lionpride.{command}]"


def _check_names(path: Path, table: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name not in SETTINGS:
            shown = shorten(one_line(repr(value)), 40)
            hint = _hint(name.replace("_", "-"), SETTINGS)
            raise UsageError(f"{path}: {name} = {shown} in {table}: no such setting: {hint}")


def _hint(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def _is_file(target: str) -> bool:
    place = target.rpartition(":")[0] or target
    return place.endswith(".py") or "/" in place
