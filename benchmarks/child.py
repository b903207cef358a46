"""Runs one measurement: ``python -m benchmarks.child MODULE JSON`` prints one line of JSON."""

from __future__ import annotations

import importlib
import json
import sys


def main() -> None:
    module, parameters = sys.argv[1:]
    measured = importlib.import_module(f"benchmarks.{module}")
    print(json.dumps(measured.child(**json.loads(parameters))))


if __name__ == "__main__":
    main()
