"""Where an error came from, as a bounded text: lines of code, and no values."""

from __future__ import annotations

import linecache
from collections import deque
from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Any, Final, NamedTuple

from ..model.attempts import TRACE

__all__ = ("FRAMES", "backtrace")

FRAMES: Final = 20
"""Frames that are told of each exception: the last ones."""

_DEEP: Final = 5
"""Exceptions that are told: the error, what it came from, and so on; likewise of a group."""

_LINE: Final = 200
"""Characters of a line of code."""

_KNOWN: Final = 500
"""Texts that are remembered: most errors come the same way as one before."""

_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n"


class _Step(NamedTuple):
    """A frame that an error came through, or the class of an exception, or words between.

    Attributes:
        what: The code, the class or the words.
        line: The number of its line.
        within: The global variables of the code, by which its text is found.
    """

    what: Any
    line: int = 0
    within: dict[str, Any] | None = None


def backtrace(error: BaseException) -> str:
    """The code that an error came through, most recent call last; empty if there is none.

    As Python prints it, but for what the exceptions say: of the error that is on record already,
    and of those that it came from nobody knows what they would give away. Texts are remembered,
    so what fails again and again costs a walk over its frames.
    """
    try:
        key, kept = _way_of(error)
        known = _texts.get(key) if key else None
        if known is None:
            known = _text(list(_walk(error, _DEEP, set()))), kept
            if key:
                if len(_texts) >= _KNOWN:
                    _texts.clear()
                _texts[key] = known
        return known[0]
    except Exception:  # whatever a user's class does, the attempt has to be settled
        return ""


_texts: dict[tuple[int, ...], tuple[str, list[object]]] = {}
"""By the way that errors came, with what that is made of: nothing else comes to be at its place."""


def _way_of(error: BaseException) -> tuple[tuple[int, ...], list[object]]:
    """What tells apart the ways that errors come, and what it is made of; empty for a group."""
    way: list[int] = []
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
            way += id(code), part.tb_lasti
        kept.append(kind)
        way += id(kind), cause is None
        each = cause if cause is not None or each.__suppress_context__ else each.__context__
    return tuple(way), kept


def _walk(error: BaseException, deep: int, seen: set[int]) -> Iterator[_Step]:
    """What an error came from, then its own frames, then the members of a group."""
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
    """The last frames of a traceback."""
    return [
        _Step(each.tb_frame.f_code, each.tb_lineno, each.tb_frame.f_globals)
        for each in _last(traceback)
    ]


def _last(traceback: TracebackType | None) -> deque[TracebackType]:
    """The last parts of a traceback: endless recursion has many more."""
    last = deque[TracebackType](maxlen=FRAMES)
    while traceback is not None:
        last.append(traceback)
        traceback = traceback.tb_next
    return last


def _text(steps: list[_Step]) -> str:
    """As lines; of too many, the last ones."""
    lines = "\n".join(map(_told, steps)).splitlines()
    room = TRACE
    for number in range(len(lines) - 1, -1, -1):
        room -= len(lines[number]) + 1
        if room < 2:
            return "\n".join(["…", *lines[number + 1 :]])
    return "\n".join(lines)


def _told(step: _Step) -> str:
    what = step.what
    if isinstance(what, CodeType):
        code = linecache.getline(what.co_filename, step.line, step.within).strip()
        head = f'  File "{what.co_filename}", line {step.line}, in {what.co_qualname}'
        return f"{head}\n    {code[:_LINE]}" if code else head
    return what.__qualname__ if isinstance(what, type) else str(what)
