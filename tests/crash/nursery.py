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
from typing import Any

from crash.worker import Orders, work

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve lines of JSON: start a worker, or send it a signal."""
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
    name = order["name"]
    if "orders" in order:
        pid = os.fork()
        if pid == 0:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            _live(Orders(**order["orders"]))
        children[name] = pid
        _say(name=name, pid=pid)
    elif name in children:
        os.kill(children[name], order["signal"])


def _live(orders: Orders) -> None:
    """What a child does, and nothing after it."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        quiet = os.open(os.devnull, os.O_RDWR)
        os.dup2(quiet, 0)
        os.dup2(2, 1)
        work(orders)
        code = 0
    except BaseException:  # a traceback is for the parent's eyes, and then it is over
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _bury(children: dict[int, int]) -> None:
    """Tell of those that have ended."""
    for name, pid in list(children.items()):
        with contextlib.suppress(ChildProcessError):
            gone, status = os.waitpid(pid, os.WNOHANG)
            if gone:
                del children[name]
                _say(name=name, pid=pid, code=os.waitstatus_to_exitcode(status))


def _say(**facts: Any) -> None:
    os.write(1, json.dumps(facts | {"at": time.monotonic()}).encode() + b"\n")


if __name__ == "__main__":
    main()
