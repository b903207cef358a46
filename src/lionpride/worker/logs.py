"""Logs of a worker: those of the library and of the application, as text or as lines of JSON."""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal, TextIO, TypeAlias, get_args

__all__ = ["FORMATS", "LEVELS", "JsonFormatter", "LogFormat", "configure", "write_last_line"]

LogFormat: TypeAlias = Literal["text", "json"]

FORMATS: Final[tuple[LogFormat, ...]] = get_args(LogFormat)

LEVELS: Final = ("debug", "info", "warning", "error")

_STANDARD: Final = frozenset(
    (*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message")
)

BLOCKED_SECONDS: Final = 1.0
"""Seconds after which a record is dropped, if standard error does not take it."""

logger = logging.getLogger("lionpride.worker")


class TextFormatter(logging.Formatter):
    """Lines of text: time in UTC, level, logger, process id and message."""

    def __init__(self) -> None:
        super().__init__("%(utc)s %(levelname)s %(name)s[%(process)d]: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; a traceback follows on lines of its own."""
        record.utc = _utc(record)
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object for each record, on one line.

    Its keys are ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``pid``, ``message``,
    ``exception`` (a traceback, if there is one), and the fields of ``extra=``. A value that JSON
    has no type for is written as its ``str``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, Any] = {
            key: value
            for key, value in vars(record).items()
            if key not in _STANDARD and not key.startswith("_")
        }
        line |= {
            "time": _utc(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return _json(line)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes records to standard error; drops them while nothing reads that.

    A pipe that is full would block the event loop, and with it the probes and the drain. The number
    of dropped records is logged when the pipe is read again.
    """

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; after a wait, drop it."""
        if not _can_write(0.0 if self._dropped else BLOCKED_SECONDS):
            self._dropped += 1
            return
        if self._dropped:
            message = "%d records were dropped: standard error was not read"
            arguments, self._dropped = (self._dropped,), 0
            super().emit(
                logger.makeRecord(logger.name, logging.WARNING, "", 0, message, arguments, None)
            )
        super().emit(record)


def _can_write(seconds: float) -> bool:
    """Return True if standard error takes a record within so many seconds."""
    try:
        return bool(select.select([], [2], [], seconds)[1])
    except (OSError, ValueError):  # on Windows, only a socket can be asked
        return True


def configure(level: str, log_format: LogFormat) -> None:
    """Write the records of all loggers to standard error, from this level on.

    Warnings of Python and exceptions that nothing catches become records too. Handlers that the
    root logger has already are replaced.

    Args:
        level: One of ``LEVELS``.
        log_format: The format.
    """
    handler = _Handler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: logger.critical(
        "uncaught exception in thread %s",
        args.thread.name if args.thread is not None else "?",
        exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback),
    )


def write_last_line(message: str, log_format: LogFormat | None, *, before: bytes = b"") -> None:
    """Write a line at a moment at which no logger can be trusted: the process is being ended.

    The line is lost if standard error does not take it at once.

    Args:
        message: The message.
        log_format: The format of the log; None if there is none.
        before: Written before the line.
    """
    if log_format is None:
        line = f"lionpride: {message}"
    else:
        record = logger.makeRecord(logger.name, logging.ERROR, "", 0, message, (), None)
        formatter = JsonFormatter() if log_format == "json" else TextFormatter()
        line = formatter.format(record)
    with suppress(OSError):
        if _can_write(0.0):
            os.write(2, before + f"{line}\n".encode())


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    logger.critical("uncaught exception", exc_info=(kind, error, trace))


def _utc(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(line: dict[str, Any]) -> str:
    """Return a line of JSON; values that JSON cannot have are written as texts."""
    try:
        return json.dumps(line, default=_text, allow_nan=False)
    except (TypeError, ValueError):
        return json.dumps({key: _json_value(value) for key, value in line.items()})


def _json_value(value: object) -> Any:
    """Return a value, or its text: a key may be no text, or a number may be NaN."""
    try:
        return json.loads(json.dumps(value, default=_text, allow_nan=False))
    except (TypeError, ValueError):
        return _text(value)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"
