"""The nursery: a process that has everything imported and forks workers, so that a start is quick.

It is the workers' real parent, so it alone sends them signals: a number that it has not waited
for belongs to nobody else. When its standard input ends, it kills what it has, and ends. Nothing
outlives it: the kernel kills a worker whose nursery is gone (``PR_SET_PDEATHSIG``).
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from crash import clock

clock.install()  # before the library binds `time.time`

from crash import reader  # noqa: E402
from crash.worker import Orders, work  # noqa: E402

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve lines of JSON: start a worker or a reader, send a signal, or set the workers' clock."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    libc = ctypes.CDLL(None, use_errno=True)
    waiting = selectors.DefaultSelector()
    waiting.register(sys.stdin, selectors.EVENT_READ)
    waiting.register(reading, selectors.EVENT_READ)
    children: dict[int, int] = {}
    asked = sys.stdin.buffer.raw  # type: ignore[union-attr]
    rest = b""
    try:
        while True:
            for key, _ in waiting.select():
                if key.fd == reading:
                    os.read(reading, 4096)
                    _bury(children)
                    continue
                data = asked.read(65536)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    _serve(json.loads(line), children, libc)
    finally:
        for pid in children.values():
            os.kill(pid, signal.SIGKILL)


def _serve(order: dict[str, Any], children: dict[int, int], libc: Any) -> None:
    if "clock" in order:
        clock.set_shift(order["clock"])
        return
    name = order["name"]
    if "orders" in order or "read" in order:
        pid = os.fork()
        if pid == 0:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if "read" in order:
                _live(lambda: reader.read(order["read"]))
            _live(lambda: work(Orders(**order["orders"])))
        children[name] = pid
        _say(name=name, pid=pid)
    elif name in children:
        os.kill(children[name], order["signal"])


def _live(do: Callable[[], None]) -> None:
    """What a child does, and nothing after it."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
        quiet = os.open(os.devnull, os.O_RDWR)
        os.dup2(quiet, 0)
        os.dup2(2, 1)
        do()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BaseException:  # a traceback is for the parent's eyes, and then it is over
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _bury(children: dict[int, int]) -> None:
    """Tell of those that have ended or were stopped."""
    for name, pid in list(children.items()):
        with contextlib.suppress(ChildProcessError):
            gone, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if gone and os.WIFSTOPPED(status):
                _say(name=name, pid=pid, stopped=True)
            elif gone:
                del children[name]
                _say(name=name, pid=pid, code=os.waitstatus_to_exitcode(status))


def _say(**facts: Any) -> None:
    os.write(1, json.dumps(facts | {"at": time.monotonic()}).encode() + b"\n")


if __name__ == "__main__":
    main()
