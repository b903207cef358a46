"""A process for a supervisor, without a store: it reports, and ends as its argument says."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter

from lionpride.worker.supervisor_link import SupervisorLink
from lionpride.worker.supervisor_metrics import to_json


async def main(what: str) -> int:
    link = SupervisorLink.from_environment()
    assert link is not None
    link.end_with_supervisor()
    registry = CollectorRegistry()
    Counter("starts", "Starts.", registry=registry).inc()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if what != "stubborn":
        loop.add_signal_handler(signal.SIGTERM, stop.set)
    state = {"state": "working", "heartbeat": ""}
    if what == "early":
        return 3
    if what == "usage":
        return 2
    async with link.reporting(lambda: {**state, "metrics": to_json(registry.collect())}):
        Path(f"started-{os.getpid()}").touch()
        if what == "recycle":
            return 75
        if what in ("empty", "failed"):
            return int(what == "failed")
        if what == "block":
            signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
            time.sleep(1000)
        if what == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        await stop.wait()
        state["state"] = "draining"
    Path(f"ended-{os.getpid()}").touch()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
