"""Write ``lionpride/sync/executor.py``, the synchronous face of the asynchronous classes.

    python tools/generate_sync.py            writes the file
    python tools/generate_sync.py --check    exits with 1 if the file is out of date

Signatures and docstrings are those of ``engine/executor.py``, ``engine/batch.py`` and
``engine/schedules.py``, with ``timeout=`` in addition.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

ROOT: Final = Path(__file__).resolve().parent.parent
ENGINE: Final = ROOT / "src/lionpride/engine"
TARGET: Final = ROOT / "src/lionpride/sync/executor.py"

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

LEFT_OUT: Final = {
    "Executor": {
        "__init__": "written below: it takes a function that makes the executor",
        "__aenter__": "written below, as __enter__",
        "__aexit__": "written below, as __exit__",
        "__repr__": "written below: it must not wait for the loop",
        "_connect": "private",
        "_repr_html_": "a notebook has a running loop: use the asynchronous executor",
        "limits": "its objects belong to the event loop",
        "observers": "its objects belong to the event loop",
        "processor": "it belongs to the event loop",
        "run_threadsafe": "every call is made from another thread",
        "states": "a live view, which belongs to the event loop",
        "store": "its methods are async",
    },
    "Batch": {"__init__": "written below", "_read": "private", "_finished": "private"},
    "Schedules": {
        "__init__": "written below",
        "_append": "private",
        "_edit": "private",
    },
}
"""Members without a synchronous counterpart of their own, and why."""

WAITING: Final = frozenset(
    ("run", "result", "as_completed", "map", "stream", "progress", "join", "forward", "execute")
)
"""Methods that wait for events."""

READ_AT_ONCE: Final = frozenset(("event_type", "event_types", "strict_event_type", "paused"))
"""Properties that never change in the loop, or are one value."""

ARGUMENTS: Final = {
    ("append", "connection"): "caller.connection(connection)",
    ("append_many", "connection"): "caller.connection(connection)",
    ("append_many", "events"): "several(events)",
    ("append_many", "priorities"): "None if priorities is None else several(priorities)",
    ("batch", "events"): "several(events)",
    ("batch", "priorities"): "None if priorities is None else several(priorities)",
    ("as_completed", "events"): "several(events)",
    ("map", "events"): "caller.source(events)",
    ("stream", "on_restart"): "caller.callback(on_restart)",
}
"""How an argument is passed on, if not as it is."""

TEXTS: Final[dict[str, dict[str, str]]] = {
    "append": {
        "There is one exception: a call that is cancelled, or that raises a retryable StoreError, "
        "may have appended the event. Append the same event again with ``exist_ok=True`` to be "
        "sure.": (
            "There are two exceptions: a call that exceeds its timeout, or that raises a\n"
            "retryable StoreError, may have appended the event. Append it again with\n"
            "``exist_ok=True`` to be sure."
        ),
        "of asyncpg, ``psycopg.AsyncConnection``, or SQLAlchemy's AsyncSession or AsyncConnection. "
        "The event is appended in the connection's transaction, and exists if that commits. The "
        "event object itself stays detached: query the event by its id. ``max_queue_size`` is not "
        "checked, and ``exist_ok`` is refused.": (
            "of psycopg,\n"
            "psycopg2, SQLAlchemy (Connection or Session over one of them) or Django. The\n"
            "calling thread uses it; ``timeout`` does not end its statements. The event is\n"
            "appended in the connection's transaction, and exists if that commits. A connection\n"
            "that is not in a transaction is refused. The event object itself stays detached:\n"
            "query the event by its id. ``max_queue_size`` is not checked, and ``exist_ok`` is\n"
            "refused."
        ).replace("\n", "\n        "),
    },
    "run": {"If the call is cancelled, the": "If the call is interrupted, the"},
    "execute": {
        "It is ``executor.processor.execute()``. Run it in a task, or use ``async with "
        "executor:``.": (
            "Another thread may call ``stop()``. ``with executor:`` runs events beside the block."
        )
    },
    "drain": {"If the call is cancelled before": "If the call is interrupted before"},
    "map": {
        "An iterable or async iterable of new events.": "An iterable of new events.",
        "A plain iterable is advanced in the event loop, so it must not block.": (
            "It is advanced in the thread of the\n        caller, while that waits for an event."
        ),
    },
    "stream": {
        "if the reader is cancelled or closed before the end (``async with "
        "aclosing(executor.stream(event)) as chunks:``).": (
            "if the reader is closed, interrupted or too\n"
            "        late (``with executor.stream(event) as chunks:`` closes it)."
        )
    },
    "get_events_by_status": {
        "Return the events of a status as a live, read-only list; making and measuring it is "
        "O(1).": "Return a list of the events of a status, as far as this process knows them."
    },
    "observe": {
        "The call is made in the event loop, between two steps of the run, so it has to be fast.": (
            "The call is made in the daemon thread, between two steps of the run, so it has to be\n"
            "fast."
        )
    },
}
"""What a docstring says instead, by method. Any white space matches a space."""

WORDS: Final = (
    ("async with ", "with "),
    ("async for ", "for "),
    ("print(await ", "print("),
    ("``await ", "``"),
    (">>> await ", ">>> "),
    ("= await ", "= "),
)
"""What every docstring says instead."""

TIMEOUT: Final = "timeout: Seconds to wait; None for no limit."
TIMEOUT_OF_ITERATION: Final = (
    "timeout: Seconds from this call to the end of the iteration; None for no limit."
)
TOO_LATE: Final = "TimeoutError: if ``timeout`` seconds have passed."
TOO_LATE_WAITING: Final = "TimeoutError: if ``timeout`` seconds have passed. The event goes on."

HEAD: Final = '''\
"""The synchronous executor, its batches and schedules: every call without ``await``.

tools/generate_sync.py has written this file. Change that program, or the asynchronous classes.
"""

from __future__ import annotations

from functools import partial

{imports}

__all__ = ("Batch", "Executor", "Schedules")

E = TypeVar("E", bound=Event)
R = TypeVar("R")

_delays_interrupts = delays_interrupts(lambda own: own._bridge.interrupt())  # noqa: SLF001


class Executor:
    """The asynchronous ``Executor`` for code without an event loop.

    >>> from lionpride.sync import Executor
    >>> with Executor.of(Square) as executor:
    ...     print(executor.run(Square(number=7), timeout=10))

    Every method makes the call of the same name in an event loop, and waits for it. All executors
    of a process share that loop, which runs in a daemon thread. Any thread may call any method.

    Every call raises OperationError if the calling thread has a running event loop, if gevent has
    replaced the threads, or if the process exits.

    After ``fork``, the child process makes the executor again at its first call, with connections
    of its own. A SQLite file that the parent has open is refused there.

    Args:
        make: A function that returns a new asynchronous executor. ``Executor.of`` is shorter.
    """

    def __init__(self, make: Callable[[], AsyncExecutor]) -> None:
        self._bridge = Bridge(make)

    @property
    def asynchronous(self) -> AsyncExecutor:
        """The asynchronous executor. It may be called in the loop of this module only."""
        return self._bridge.executor

    @_delays_interrupts
    def __enter__(self) -> Self:
        """Start the executor, and run events in the background, in the daemon thread.

        Raises:
            OperationError: if it runs already.
            Exception: any error of the ``lifespan``; nothing runs then.
        """
        self._bridge.enter()
        return self

    @_delays_interrupts
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, let running events finish within the grace time, and return the rest to pending.

        Ctrl-C ends the grace time. There is none if a second Ctrl-C has left the block. In a forked
        child of the process that has entered the block, nothing happens.

        Raises:
            BaseException: the error of the run, if it has failed.
        """
        self._bridge.leave(error)

    def close(self) -> None:
        """Close the store: its connections, or its file. A later call opens it again.

        The exit of the process does it too.

        Raises:
            OperationError: in a ``with`` block of the executor.
        """
        self._bridge.close()

    def __repr__(self) -> str:
        names = ", ".join(each.__name__ for each in self.event_types)
        return f"Executor(of {names})"

'''

BATCH: Final = '''

class Batch(Generic[R]):
    """Events that were appended together by ``Executor.batch``.

    Attributes:
        id: The id of the batch.
        event_ids: The ids of the events, in the order given.
    """

    __slots__ = ("_batch", "_bridge", "_owner", "event_ids", "id")

    def __init__(self, bridge: Bridge, owner: AsyncExecutor, batch: AsyncBatch[R]) -> None:
        self._bridge = bridge
        self._owner = owner
        self._batch = batch
        self.id: UUID = batch.id
        self.event_ids: tuple[UUID, ...] = batch.event_ids

    async def _of(self, executor: AsyncExecutor) -> AsyncBatch[R]:
        """Return the handle of an executor; a forked child has another one than its parent."""
        if executor is not self._owner:
            self._batch, self._owner = await executor.get_batch(self.id), executor
        return self._batch

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.event_ids)

    def __repr__(self) -> str:
        return f"Batch({str(self.id)!r}, {len(self)} events)"

'''

SCHEDULES: Final = '''

class Schedules:
    """The schedules of one queue; see ``Executor.schedules``."""

    __slots__ = ("_bridge",)

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

'''


class Generator:
    """Writes one class.

    Args:
        name: The name of the class.
        source: The module of the asynchronous class.
    """

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self._text = source
        (self._class,) = (
            node
            for node in ast.parse(source).body
            if isinstance(node, ast.ClassDef) and node.name == name
        )

    def members(self) -> Iterator[str]:
        """Yield the text of each member."""
        for node in self._class.body:
            if isinstance(node, Function) and not self._is_left_out(node.name):
                yield textwrap.indent(self._member(node), "    ")

    def _is_left_out(self, name: str) -> bool:
        return name in LEFT_OUT[self.name] or name in ("__len__", "__repr__")

    def _member(self, node: Function) -> str:
        decorators = [ast.unparse(each) for each in node.decorator_list]
        if "overload" in decorators:
            return self._overload(node)
        if "classmethod" in decorators:
            return self._constructor(node)
        if "property" in decorators:
            return self._property(node)
        return self._method(node)

    # -- signatures --------------------------------------------------------------------------

    def _signature(self, node: Function, returns: str, *, is_stub: bool = False) -> str:
        arguments = node.args
        if self._has_timeout(node):
            arguments.kwonlyargs.append(
                ast.arg("timeout", ast.parse("float | None", mode="eval").body)
            )
            arguments.kw_defaults.append(ast.Constant(... if is_stub else None))
        text = ast.unparse(arguments).replace("Iterable[E] | AsyncIterable[E]", "Iterable[E]")
        return f"def {node.name}({text}) -> {returns}:"

    def _has_timeout(self, node: Function) -> bool:
        own = [each.arg for each in node.args.kwonlyargs + node.args.args]
        waits = isinstance(node, ast.AsyncFunctionDef) or _is_generator(node)
        return waits and "timeout" not in own

    def _returns(self, node: Function) -> str:
        text = ast.unparse(node.returns) if node.returns else "None"
        if found := re.fullmatch(r"AsyncGenerator\[(.*), None\]", text):
            return f"Iteration[{found[1]}]"
        return {"Events": "builtins.list[Event]"}.get(text, text).replace(
            "list[", "builtins.list[" if self.name == "Schedules" else "list["
        )

    def _overload(self, node: Function) -> str:
        return f"@overload\n{self._signature(node, self._returns(node), is_stub=True)} ..."

    # -- bodies ------------------------------------------------------------------------------

    def _method(self, node: Function) -> str:
        has_timeout, returns = self._has_timeout(node), self._returns(node)
        doc = self._docstring(node, has_timeout=has_timeout)
        call = self._call(node)
        signature = self._signature(node, returns)
        body = self._body(node, call, has_timeout=has_timeout)
        return f"{signature}\n{textwrap.indent(doc + body, '    ')}"

    def _body(self, node: Function, call: str, *, has_timeout: bool) -> str:
        name = node.name if self.name == "Executor" else f"{self.name.lower()}.{node.name}"
        limit = ", timeout" if has_timeout else ""
        caller = "caller" if "caller." in call else "_"
        if _is_generator(node):
            return (
                f"return self._bridge.iterate({name!r}, lambda executor, {caller}: {call}{limit})"
            )
        if node.name.startswith("observe"):
            return f"return self._bridge.observe({name!r}, lambda executor: {call})"
        if not isinstance(node, ast.AsyncFunctionDef):
            if "Events" in ast.unparse(node.returns or ast.Constant(None)):
                call = f"list({call})"
            return f"return self._bridge.call_plain({name!r}, lambda executor: {call})"
        if "Batch" in ast.unparse(node.returns or ast.Constant(None)):
            return (
                "async def run(executor: AsyncExecutor, _: Caller) -> Batch[Any]:\n"
                f"    return Batch(self._bridge, executor, await {call})\n\n"
                f"return self._bridge.call({name!r}, run{limit})"
            )
        if self.name == "Batch":
            returns = self._returns(node)
            return (
                f"async def run(executor: AsyncExecutor, _: Caller) -> {returns}:\n"
                f"    return await {call}\n\n"
                f"return self._bridge.call({name!r}, run{limit})"
            )
        keyword = "return " if self._returns(node) != "None" else ""
        return f"{keyword}self._bridge.call({name!r}, lambda executor, {caller}: {call}{limit})"

    def _call(self, node: Function) -> str:
        place = {
            "Executor": "executor",
            "Batch": "(await self._of(executor))",
            "Schedules": "executor.schedules",
        }[self.name]
        if node.name == "__contains__":
            return f"event in {place}"
        return f"{place}.{node.name}({', '.join(self._passed(node))})"

    def _passed(self, node: Function) -> Iterator[str]:
        arguments = node.args
        for each in arguments.args[1:]:
            yield ARGUMENTS.get((node.name, each.arg), each.arg)
        if arguments.vararg:
            yield f"*{arguments.vararg.arg}"
        for each in arguments.kwonlyargs:
            if each.arg != "timeout":
                yield f"{each.arg}={ARGUMENTS.get((node.name, each.arg), each.arg)}"
        if arguments.kwarg:
            yield f"**{arguments.kwarg.arg}"

    def _constructor(self, node: Function) -> str:
        passed = ", ".join(self._passed(node))
        doc = self._docstring(node, has_timeout=False)
        body = f"return cls(partial(AsyncExecutor.of, {passed}))"
        signature = self._signature(node, "Self")
        return f"@classmethod\n{signature}\n{textwrap.indent(doc + body, '    ')}"

    def _property(self, node: Function) -> str:
        returns = self._returns(node)
        doc = self._docstring(node, has_timeout=False)
        if node.name in READ_AT_ONCE:
            body = f"return self._bridge.executor.{node.name}"
        elif node.name == "schedules":
            body = "return Schedules(self._bridge)"
        else:
            body = (
                f"return self._bridge.call_plain({node.name!r}, "
                f"lambda executor: list(executor.{node.name}))"
            )
        return (
            f"@property\ndef {node.name}(self) -> {returns}:\n{textwrap.indent(doc + body, '    ')}"
        )

    # -- docstrings --------------------------------------------------------------------------

    def _docstring(self, node: Function, *, has_timeout: bool) -> str:
        text = ast.get_docstring(node, clean=False)
        if text is None:
            return ""
        text = textwrap.dedent("    " * 2 + text).strip()
        for old, new in TEXTS.get(node.name, {}).items() if self.name == "Executor" else ():
            pattern = r"\s+".join(map(re.escape, old.split()))
            text, count = re.subn(pattern, lambda _, new=new: new, text)
            if not count:
                raise SystemExit(f"{node.name}: the docstring has no {old!r}: change TEXTS")
        for old, new in WORDS:
            text = text.replace(old, new)
        if has_timeout:
            limit = TIMEOUT_OF_ITERATION if _is_generator(node) else TIMEOUT
            late = TOO_LATE_WAITING if node.name in WAITING else TOO_LATE
            text = _with_entry(text, "Args", limit, before="**options", after=())
            text = _with_entry(text, "Raises", late, before=None, after=("Args", "Returns"))
        end = "\n" if "\n" in text else ""
        return f'"""{text}{end}"""\n'


def _with_entry(
    text: str, section: str, entry: str, *, before: str | None, after: Iterable[str]
) -> str:
    """Return a docstring with one more entry in a section."""
    blocks = text.split("\n\n")
    at = next((i for i, each in enumerate(blocks) if each.startswith(f"{section}:\n")), None)
    if at is None:
        names = tuple(f"{each}:\n" for each in ("Args", "Returns", "Raises") if each not in after)
        at = next((i for i, each in enumerate(blocks) if each.startswith(names)), len(blocks))
        blocks.insert(at, f"{section}:\n    {entry}")
        return "\n\n".join(blocks)
    lines = blocks[at].splitlines()
    place = len(lines)
    if before is not None:
        place = next((i for i, each in enumerate(lines) if each.strip().startswith(before)), place)
    lines.insert(place, f"    {entry}")
    blocks[at] = "\n".join(lines)
    return "\n\n".join(blocks)


def _is_generator(node: Function) -> bool:
    return node.returns is not None and ast.unparse(node.returns).startswith("AsyncGenerator[")


def _imports(sources: Iterable[str], text: str) -> str:
    """Return the imports of the names that a text uses, as the sources have them."""
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    for node in ast.walk(ast.parse(text)):  # annotations within strings do not occur
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used.add(node.value.id)
    lines = {
        "from ..engine.executor import Executor as AsyncExecutor",
        "from ..engine.batch import Batch as AsyncBatch",
        "from .bridge import Bridge",
        "from .call import Caller, several",
        "from .interrupts import delays_interrupts",
        "from .iteration import Iteration",
        "import builtins",
        "from typing import Generic",
        "from uuid import UUID",
    }
    own = {"Batch", "Schedules", "Executor", "partial", "Generic", "UUID"}
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.ImportFrom) or node.module == "__future__":
                continue
            module = node.module or ""
            if node.level == 1:
                module = f"..engine.{module}"
            elif node.level == 2:
                module = f"..{module}"
            for name in node.names:
                if (name.asname or name.name) in used - own:
                    lines.add(f"from {module} import {name.name}")
    if "builtins" not in used:
        lines.discard("import builtins")
    return "\n".join(sorted(lines))


def generated() -> str:
    """Return the text of the module."""
    sources = [(ENGINE / f"{name}.py").read_text() for name in ("executor", "batch", "schedules")]
    executor, batch, schedules = (
        "\n\n".join(Generator(name, source).members())
        for name, source in zip(("Executor", "Batch", "Schedules"), sources, strict=True)
    )
    body = executor + "\n" + BATCH + batch + "\n" + SCHEDULES + schedules + "\n"
    imports = _imports(sources, HEAD.replace("{imports}", "") + body)
    text = HEAD.replace("{imports}", imports) + body
    for command in (
        ("check", "--fix", "--quiet", "--select", "I,F401", "--stdin-filename", str(TARGET), "-"),
        ("format", "--stdin-filename", str(TARGET), "-"),
    ):
        run = [sys.executable, "-m", "ruff", *command]
        text = subprocess.run(run, input=text, capture_output=True, text=True, check=False).stdout
    return text


def main() -> None:
    """Write the file, or compare it."""
    text = generated()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() != text:
            raise SystemExit(f"{TARGET} is out of date: run python tools/generate_sync.py")
        return
    TARGET.write_text(text)


if __name__ == "__main__":
    main()
