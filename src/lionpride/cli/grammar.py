"""The grammar of the command line: its commands, their arguments and options, over click.

A command is a function of its arguments and options that returns the exit status. ``Command``
prints them with their meaning, and takes STORE as an argument or as ``--store STORE``. ``Program``
imports a command when it is used, takes ``help COMMAND``, and proposes a correction of a typing
error.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import re
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import Any, Final, ParamSpec, Protocol, TypeAlias, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from .output.streams import tell, warn
from .settings import PREFIX, SettingsFile, check_environment, find_file, name_of
from .usage import UsageError, queue_name

__all__ = [
    "COMPLETION",
    "STORE",
    "Command",
    "Program",
    "argument",
    "command",
    "error_text",
    "finish",
    "flag_setting",
    "json_option",
    "option",
    "optional_store_argument",
    "queue_option",
    "setting",
    "store_argument",
    "store_command",
]

COMPLETION: Final = "_LIONPRIDE_COMPLETE"
"""Variable in which the script of a shell asks for the words that fit."""

STORE: Final = "a file, run.db or sqlite:///run.db, or a database, postgresql://host/name"
"""Description of STORE in the help of a command."""

_STORE: Final = f"{STORE}; --store STORE is accepted too"

NO_STORE: Final = "\0"
"""The argument in place of an optional STORE; no argument of a process can be this."""

_FIELD: Final = re.compile(r"\w+:?=")
"""The beginning of NAME=VALUE or NAME:=JSON."""

_OF_A_SERVICE: Final = re.compile(r"(tcp|udp|sctp)://")
"""The beginning of ``NAME_PORT``, a variable that Kubernetes sets for each service."""

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])
Work: TypeAlias = Callable[P, Coroutine[Any, Any, int]]


class Decorator(Protocol):
    """Adds something to a command, and returns the function of the command."""

    def __call__(self, function: F, /) -> F: ...


class Option(click.Option):
    """An option; a shell completes its value as a file if it is one."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the value of the variable; None if Kubernetes has set it for a service."""
        value = super().resolve_envvar_value(ctx)
        is_port = isinstance(self.envvar, str) and self.envvar.endswith("_PORT")
        return None if is_port and value and _OF_A_SERVICE.match(value) else value

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the values that fit."""
        return _files(self, incomplete) or super().shell_complete(ctx, incomplete)


class Argument(click.Argument):
    """An argument with a description, which old releases of click do not have."""

    def __init__(self, declarations: list[str], *, help: str, **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self.help = help

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the values that fit."""
        return _files(self, incomplete) or super().shell_complete(ctx, incomplete)


class Command(click.Command):
    """A command.

    Attributes:
        store_at: The place of STORE among the arguments, 0 for the first, -1 for the last; None
            if the command has no such argument.
    """

    def __init__(self, name: str, *, params: list[click.Parameter], **attributes: Any) -> None:
        params = [*params, _help_option()]
        super().__init__(name, params=params, add_help_option=False, **attributes)
        places = [each.name for each in params if isinstance(each, click.Argument)]
        self.store_at: int | None = None
        if "store" in places:
            self.store_at = 0 if places[0] == "store" else -1

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments and the settings; the store is put where STORE stands.

        Raises:
            UsageError: if a setting is wrong.
        """
        if {"-h", "--help"} & {*args}:
            return super().parse_args(ctx, args)
        settings = None
        if not ctx.resilient_parsing:
            check_environment(os.environ)
            settings = find_file(Path.cwd(), self.name or "", _commands(ctx))
        if self.store_at is not None:
            args = self._with_store(ctx, args, settings)
        ctx.default_map = {} if settings is None else settings.defaults(self.params)
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            if (source := _source(error, settings)) is not None:
                raise UsageError(f"{source}: {error.message.removesuffix('.')}") from error
            raise

    def _with_store(
        self, ctx: click.Context, args: list[str], settings: SettingsFile | None
    ) -> list[str]:
        """Return the arguments with STORE, as ``--store`` or a setting gives it."""
        options = click.Command(None, params=[*_options(self)], add_help_option=False)
        given, words, _ = options.make_parser(ctx).parse_args(list(args))
        store = given.get("store_option")
        if store is None and not self._has_store(words):
            source, store = _store_setting(settings)
            if store is not None and not ctx.resilient_parsing:
                _check_store(source, store)
        if store is None:
            is_needed = any(each.name == "store" and each.required for each in self.params)
            if is_needed or self._has_store(words):
                return args
            store = NO_STORE
        return [store, *args] if self.store_at == 0 else [*args, store]

    def _has_store(self, words: list[str]) -> bool:
        """Return True if STORE is among the arguments, in case a setting gives a store, too.

        The first argument is STORE if it has a dot, a slash or a colon, or if the command has no
        other arguments. If STORE stands last, the number of arguments decides; before a TARGET and
        fields as well, which may follow it.
        """
        names = [each.name for each in self.params if isinstance(each, click.Argument)]
        others = len(names) - 1
        if "target" in names:
            return sum(_FIELD.match(word) is None for word in words) > 1
        if others and self.store_at == 0:
            return bool(words) and any(mark in words[0] for mark in "./:\\")
        return len(words) > others

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the required options, and the arguments."""
        required = [f"{each.opts[0]} {each.metavar}" for each in _options(self) if each.required]
        pieces = [*required, *self.collect_usage_pieces(ctx)]
        formatter.write_usage(ctx.command_path, " ".join(pieces), prefix="usage: ")

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write nothing: ``format_options`` writes the arguments in all releases of click."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments, and the options."""
        rows = [
            (each.metavar or "", each.help or "")
            for each in self.params
            if isinstance(each, Argument)
        ]
        _write_section(formatter, "arguments", rows)
        records = [each.get_help_record(ctx) for each in _options(self)]
        _write_section(formatter, "options", [each for each in records if each is not None])


class Program(click.Group):
    """The command line.

    Args:
        name: Its name.
        help: What it does.
        version: Its version.
        package: The package with a module for each command.
        summaries: What each command does, by the name of the command.
    """

    def __init__(
        self,
        name: str,
        *,
        help: str,
        version: str,
        package: str,
        summaries: Mapping[str, str],
    ) -> None:
        options: list[click.Parameter] = [
            _eager(
                "--version",
                help="show the version and exit",
                show=lambda _: tell(f"{name} {version}"),
            ),
            _help_option(),
        ]
        super().__init__(
            name, params=options, help=help, add_help_option=False, no_args_is_help=False
        )
        self._package = package
        self._summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Command | None:
        """Import a command."""
        if cmd_name not in self._summaries:
            return None
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        found: Command = getattr(import_module(f"{self._package}.{module}"), module)
        return found

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command; ``help COMMAND`` is ``COMMAND --help``."""
        if args[:1] == ["help"]:
            args = [*args[1:2], "--help"]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command.

        Raises:
            UsageError: if there is no such command; with the one that was probably meant.
        """
        name, *rest = args
        if name not in self._summaries and not ctx.resilient_parsing:
            close = difflib.get_close_matches(name, [*self._summaries, "help"], n=1)
            there = ", ".join(self._summaries)
            hint = f"did you mean {close[0]}?" if close else f"there are {there}"
            raise UsageError(f"{name!r} is no command: {hint}")
        return name, self.get_command(ctx, name), rest

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that fit; no command is imported for that."""
        found = [
            CompletionItem(name, help=summary)
            for name, summary in self._summaries.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write how a command is called."""
        formatter.write_usage(ctx.command_path, "COMMAND ...", prefix="usage: ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands and the options; no command is imported for that."""
        _write_section(formatter, "commands", list(self._summaries.items()))
        records = [each.get_help_record(ctx) for each in _options(self)]
        _write_section(formatter, "options", [each for each in records if each is not None])


def error_text(error: click.UsageError) -> str:
    """Return what is wrong with a command line, below the usage of the command."""
    message = error.format_message().removesuffix(".")
    if isinstance(error, click.NoSuchOption):
        message = f"no such option: {error.option_name}"
        if error.possibilities:
            message += f": did you mean {error.possibilities[0]}?"
    elif isinstance(error, click.MissingParameter):
        takes_store = isinstance(error.cmd, Command) and error.cmd.store_at is not None
        message += f"; STORE is {_STORE}" if takes_store else ""
    elif isinstance(error, click.BadParameter) and error.param is not None:
        param = error.param
        name = "/".join(param.opts) if isinstance(param, click.Option) else param.metavar
        message = f"argument {name}: {error.message.removesuffix('.')}"
    ctx = error.ctx
    if ctx is None:
        return f"lionpride: error: {message}"
    return f"{ctx.get_usage()}\n{ctx.command_path}: error: {message}"


def _commands(ctx: click.Context) -> list[str]:
    """Return the names of the commands of the program that a command belongs to."""
    parent = ctx.parent
    if parent is None or not isinstance(parent.command, click.Group):
        return []
    return parent.command.list_commands(parent)


def _store_setting(settings: SettingsFile | None) -> tuple[str, str | None]:
    """Return where the store is set, and the store; None for nowhere."""
    variable = f"{PREFIX}STORE"
    if store := os.environ.get(variable):
        return variable, store
    if settings is not None and "store" in settings.values:
        return settings.where("store"), settings.store()
    return "", None


def _check_store(source: str, store: str) -> None:
    """Refuse a setting that is no store.

    Raises:
        UsageError: names the variable or the file.
    """
    from .store.location import locate_store  # late: the help needs no stores

    try:
        locate_store(store)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error


def _source(error: click.BadParameter, settings: SettingsFile | None) -> str | None:
    """Return the variable, or the key of a file, that has a wrong value; None for an argument."""
    param, ctx = error.param, error.ctx
    if param is None or ctx is None or (name := name_of(param)) is None:
        return None
    source = ctx.get_parameter_source(param.name)
    if source is ParameterSource.ENVIRONMENT:
        return str(param.envvar)
    if source is ParameterSource.DEFAULT_MAP and settings is not None and name in settings.values:
        return settings.where(name)
    return None


# -- commands --------------------------------------------------------------------------------


def command(
    name: str,
    *,
    help: str,
    epilog: str | None = None,
) -> Callable[[Callable[..., int]], Command]:
    """Return a decorator that makes a command of a function, which returns the exit status.

    Args:
        name: Its name.
        help: What it does.
        epilog: What its help says last.
    """
    return click.command(name, cls=Command, help=help, epilog=epilog)


def store_command(
    name: str,
    *,
    help: str,
    epilog: str | None = None,
) -> Callable[[Work[...]], Command]:
    """Return a decorator that makes a command of a function on the queues of a store.

    The store is there already. The function is a coroutine function with the parameters `store`
    and `queue`, beside those of its own arguments and options.

    Args:
        name: Its name.
        help: What it does.
        epilog: What its help says last.
    """

    def decorate(work: Work[...]) -> Command:
        run = store_argument(queue_option("only one queue; by default all")(finish(work)))
        return command(name, help=help, epilog=epilog)(run)

    return decorate


def finish(work: Work[P]) -> Callable[P, int]:
    """Make a function of a coroutine function: its exit status is 130 after Ctrl-C."""

    @wraps(work)
    def run(*args: P.args, **options: P.kwargs) -> int:
        try:
            return asyncio.run(work(*args, **options))
        except KeyboardInterrupt:
            warn("lionpride: interrupted")
            return 130

    return run


# -- arguments and options ---------------------------------------------------------------------


def argument(name: str, *, help: str, **attributes: Any) -> Decorator:
    """Return a decorator that adds an argument to a command."""
    return click.argument(name, cls=Argument, help=help, **attributes)


def option(*declarations: str, **attributes: Any) -> Decorator:
    """Return a decorator that adds an option to a command."""
    return click.option(*declarations, cls=Option, **attributes)


def setting(*declarations: str, **attributes: Any) -> Decorator:
    """Return a decorator that adds an option that ``settings`` can give, too."""
    name = next(each for each in declarations if each.startswith("--"))
    variable = PREFIX + name.partition("/")[0].strip("-").upper().replace("-", "_")
    return option(*declarations, envvar=variable, show_envvar=True, **attributes)


def flag_setting(name: str, help: str) -> Decorator:
    """Return a decorator that adds a flag that ``settings`` can give, too; `--no-NAME` is off."""
    return setting(f"--{name}/--no-{name}", default=False, help=help)


def store_argument(function: F) -> F:
    """Add the argument STORE, as the parameter `store`."""
    return argument("store", metavar="STORE", help=_STORE)(_store_option(function))


def optional_store_argument(otherwise: str) -> Decorator:
    """Return a decorator that adds the argument STORE, for a command that can do without it.

    The parameter `store` is None if neither an argument nor a setting gives it.

    Args:
        otherwise: What is used without it.
    """

    def read(text: str) -> str | None:
        return None if text == NO_STORE else text

    add = argument(
        "store",
        metavar="[STORE]",
        required=False,
        type=read,
        help=f"{_STORE}; by default {otherwise}",
    )
    return lambda function: add(_store_option(function))


def _store_option(function: F) -> F:
    """Add ``--store``, which ``Command`` reads."""
    return option("--store", "store_option", metavar="STORE", hidden=True, expose_value=False)(
        function
    )


def queue_option(help: str) -> Decorator:
    """Return a decorator that adds ``--queue``, as the parameter `queue`."""
    return option("--queue", metavar="Q", type=queue_name, help=help)


def json_option(each: str) -> Decorator:
    """Return a decorator that adds ``--json``, as the parameter `as_json`.

    Args:
        each: What a line of the output is about.
    """
    text = f"write a JSON object for each {each}"
    return option("--json", "as_json", is_flag=True, help=text)


def _help_option() -> click.Option:
    return _eager(
        *("-h", "--help"), help="show this help and exit", show=lambda ctx: tell(ctx.get_help())
    )


def _eager(*names: str, help: str, show: Callable[[click.Context], object]) -> click.Option:
    """Return an option that shows a text, and ends the command line."""

    def act(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            show(ctx)
            ctx.exit()

    return click.Option(
        names, is_flag=True, is_eager=True, expose_value=False, help=help, callback=act
    )


def _files(param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the request for names of files, if the value of a parameter is one."""
    is_file = (param.metavar or "").strip("[]").removesuffix("...") in ("FILE", "STORE", "TARGET")
    return [CompletionItem(incomplete, type="file")] if is_file else []


def _options(of: click.Command) -> list[click.Option]:
    return [each for each in of.params if isinstance(each, click.Option)]


def _write_section(formatter: click.HelpFormatter, title: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows)
