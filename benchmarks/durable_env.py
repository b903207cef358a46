"""The interpreter of the durable peers, huey and DBOS, with all that these bring along."""

from __future__ import annotations

from benchmarks.environment import Environment

PEERS = Environment("durable", "durable_peers.py", "huey and DBOS", "import dbos, huey")
ask = PEERS.ask
