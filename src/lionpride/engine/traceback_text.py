"""Tracebacks as text of limited length, with lines of code and without values."""

from __future__ import annotations

import linecache
from collections import deque
from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Any, Final, NamedTuple

from ..model.attempts import TRACE

__all__ = ("FRAMES", "traceback_text")

FRAMES: Final = 20
"""Maximum number of frames for each exception; the last ones are kept."""

_DEEP: Final = 5
"""Maximum number of exceptions in a chain of causes, and of exceptions in a group."""

_COLUMNS: Final = 200
"""Maximum number of characters of a line of code."""

_CACHED: Final = 500
"""Maximum number of cached texts: most errors repeat the path of an earlier one."""

_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n"


class _Step(NamedTuple):
    """One line of the text: a frame, the class of an exception, or a heading.

    Attributes:
        content: The frame's code, the class or the heading.
        line: The line number in the code.
        variables: The global variables of the code, for ``linecache``.
    """

    content: Any
    line: int = 0
    variables: dict[str, Any] | None = None


def traceback_text(error: BaseException) -> str:
    """Return the traceback of an error, most recent call last; an empty text if it has none.

    It has the format of Python, without the messages of the exceptions: the message of the error is
    recorded separately, and messages of its causes may contain secrets. Texts are cached, so a
    repeated error costs one pass over its frames.
    """
    try:
        key, kept = _path_of(error)
        cached = _texts.get(key) if key else None
        if cached is None:
            cached = _text(list(_walk(error, _DEEP, set()))), kept
            if key:
                if len(_texts) >= _CACHED:
                    _texts.clear()
                _texts[key] = cached
        return cached[0]
    except Exception:  # a user's class may raise anything, and the attempt has to be settled
        return ""


_texts: dict[tuple[int, ...], tuple[str, list[object]]] = {}
"""Texts by path, each with the objects whose ids form the path, so that no id is reused."""


def _path_of(error: BaseException) -> tuple[tuple[int, ...], list[object]]:
    """Return the path of an error as a cache key, and its objects; an empty key for a group."""
    path: list[int] = []
    kept: list[object] = []
    each: BaseException | None = error
    for _ in range(_DEEP):
        if each is None:
            break
        kind, traceback, cause = type(each), each.__traceback__, each.__cause__
        if isinstance(each, BaseExceptionGroup):
            return (), kept
        for part in _last(traceback):
            code = part.tb_frame.f_code
            kept.append(code)
            path += id(code), part.tb_lasti
        kept.append(kind)
        path += id(kind), cause is None
        each = cause if cause is not None or each.__suppress_context__ else each.__context__
    return tuple(path), kept


def _walk(error: BaseException, deep: int, seen: set[int]) -> Iterator[_Step]:
    """Yield the cause of an error, then its own frames, then the exceptions of a group."""
    seen.add(id(error))
    cause, context = error.__cause__, error.__context__
    before = context if cause is None and not error.__suppress_context__ else cause
    if before is not None and deep > 1 and id(before) not in seen:
        yield from _walk(before, deep - 1, seen)
        yield _Step(_CONTEXT if cause is None else _CAUSE)
    frames = _frames(error.__traceback__)
    if frames:
        yield _Step("Traceback (most recent call last):")
        yield from frames
        yield _Step(type(error))
    elif before is not None or deep < _DEEP:
        yield _Step(type(error))
    for member in error.exceptions[:_DEEP] if isinstance(error, BaseExceptionGroup) else ():
        if deep > 1 and id(member) not in seen:
            yield _Step("One of the exceptions in it:")
            yield from _walk(member, deep - 1, seen)


def _frames(traceback: TracebackType | None) -> list[_Step]:
    """Return the last frames of a traceback."""
    return [
        _Step(each.tb_frame.f_code, each.tb_lineno, each.tb_frame.f_globals)
        for each in _last(traceback)
    ]


def _last(traceback: TracebackType | None) -> deque[TracebackType]:
    """Return the last entries of a traceback; endless recursion has many more."""
    last = deque[TracebackType](maxlen=FRAMES)
    while traceback is not None:
        last.append(traceback)
        traceback = traceback.tb_next
    return last


def _text(steps: list[_Step]) -> str:
    """Return the steps as lines; the first lines are left out if the text is too long."""
    lines = "\n".join(map(_line, steps)).splitlines()
    room = TRACE
    for number in range(len(lines) - 1, -1, -1):
        room -= len(lines[number]) + 1
        if room < 2:
            return "\n".join(["…", *lines[number + 1 :]])
    return "\n".join(lines)


def _line(step: _Step) -> str:
    content = step.content
    if isinstance(content, CodeType):
        code = linecache.getline(content.co_filename, step.line, step.variables).strip()
        head = f'  File "{content.co_filename}", line {step.line}, in {content.co_qualname}'
        return f"{head}\n    {code[:_COLUMNS]}" if code else head
    return content.__qualname__ if isinstance(content, type) else str(content)
