"""The log of a worker, as a reader of its lines gets it."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from subprocess import PIPE

import pytest

CODE = """
import asyncio, logging, sys, threading, warnings
from uuid import UUID
from lionpride.worker.logs import configure

logging.basicConfig(format="the application: %(message)s")
configure(sys.argv[1], sys.argv[2])
logger = logging.getLogger("shop.orders")
logger.info("order %d", 7, extra={"order": UUID(int=7), "amount": 1.5, "level": "extra"})
logger.debug("hidden")
logger.info("two\\nlines \\u2028 and \\x85 here, %s", float("nan"), extra={"ratio": float("nan")})
logger.info("keys", extra={"by": {(1, 2): "x"}})
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("no")
warnings.warn("old call")

async def main():
    asyncio.get_running_loop().call_exception_handler({"message": "from the loop"})

asyncio.run(main())
thread = threading.Thread(target=lambda: [][1], name="a-thread")
thread.start()
thread.join()
raise ValueError("the end")
"""


def lines(level: str, log_format: str) -> list[str]:
    command = [sys.executable, "-c", CODE, level, log_format]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_every_line_is_a_json_object_also_those_of_the_application() -> None:
    found = [json.loads(line) for line in lines("info", "json")]
    for each in found:
        assert each["time"].endswith("Z")
        assert each["pid"] > 0
    said = [(each["logger"], each["level"], each["message"].partition("\n")[0]) for each in found]
    assert said[0] == ("shop.orders", "info", "order 7")
    assert (found[0]["order"], found[0]["amount"]) == ("00000000-0000-0000-0000-000000000007", 1.5)
    assert found[1]["message"] == "two\nlines \u2028 and \x85 here, nan"
    assert found[1]["ratio"] == "nan"
    assert found[2]["by"] == "{(1, 2): 'x'}"
    assert said[3:6] == [
        ("shop.orders", "error", "no"),
        ("py.warnings", "warning", "<string>:17: UserWarning: old call"),
        ("asyncio", "error", "from the loop"),
    ]
    assert "ZeroDivisionError" in found[3]["exception"]
    assert said[6] == (
        "lionpride.worker",
        "critical",
        "uncaught exception in thread a-thread",
    )
    assert said[7] == ("lionpride.worker", "critical", "uncaught exception")
    assert found[7]["exception"].endswith("ValueError: the end")


def test_text_has_time_level_logger_and_process() -> None:
    first = lines("info", "text")[0].split(" ", 2)
    assert first[0].endswith("Z")
    assert first[1] == "INFO"
    assert first[2].startswith("shop.orders[")
    assert first[2].endswith("]: order 7")


def test_the_level_holds_for_all_loggers() -> None:
    assert {json.loads(line)["level"] for line in lines("error", "json")} == {"error", "critical"}
    assert "hidden" in [json.loads(line)["message"] for line in lines("debug", "json")]


@pytest.mark.parametrize("log_format", [None, "text", "json"])
def test_the_last_line_of_a_process_has_the_format_of_the_log(log_format: str | None) -> None:
    code = "from lionpride.worker.logs import *\n"
    code += f"write_last_line('stopped', {log_format!r}, before=b' ')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.startswith(" ")
    assert done.stderr.endswith("\n")
    if log_format == "json":
        assert json.loads(done.stderr)["message"] == "stopped"
    else:
        assert "stopped" in done.stderr


DROP = """
import logging, sys
from lionpride.worker import logs

logs.BLOCKED_SECONDS = 0.01
logs.configure("info", "json")
for number in range(2_000):
    logging.info("record %d of many: %s", number, 100 * "x")
logs.write_last_line("lost", "json")
print("through", flush=True)
sys.stdin.readline()
logging.info("read again")
"""


def test_records_that_nobody_reads_are_dropped_and_counted() -> None:
    with subprocess.Popen([sys.executable, "-c", DROP], stdin=PIPE, stdout=PIPE, stderr=PIPE) as it:
        assert it.stdin is not None
        assert it.stdout is not None
        assert it.stderr is not None
        assert it.stdout.readline() == b"through\n", "a full pipe has blocked nothing"
        text = bytearray()
        os.set_blocking(it.stderr.fileno(), False)
        with suppress(BlockingIOError):
            while True:
                text += os.read(it.stderr.fileno(), 2**16)
        os.set_blocking(it.stderr.fileno(), True)
        it.stdin.write(b"\n")
        it.stdin.flush()
        text += it.stderr.read()
    *written, dropped, last = [json.loads(line) for line in text.splitlines()]
    assert dropped["message"].endswith(" records were dropped: standard error was not read")
    assert int(dropped["message"].split()[0]) == 2_000 - len(written)
    assert last["message"] == "read again"
