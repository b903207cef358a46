"""A Flask service that submits events and waits for them. Workers, in other processes, run them.

Start both on one store::

    lionpride work examples/flask_app.py:reports --store sqlite:///run.db
    STORE=sqlite:///run.db gunicorn --chdir examples --threads 8 flask_app:app

    curl -H 'Content-Type: application/json' -d '{"words": ["to", "be"]}' \
        http://127.0.0.1:8000/reports
    curl http://127.0.0.1:8000/reports/ID?wait=10

With SQLite, gunicorn must not get ``--preload`` if the module uses the executor at its import.
"""

import os
from contextlib import suppress
from typing import Any
from uuid import UUID

from flask import Flask, abort, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from lionpride import Event, NotFoundError, QueueFullError, job
from lionpride.sync import Executor

LONGEST = 30.0  # seconds that a request may wait for a result; it takes a thread of the server


@job(timeout=60)
async def report(words: list[str]) -> dict[str, int]:
    """Counts words."""
    return {word: words.count(word) for word in sorted(set(words))}


reports = Executor.of(
    report, max_queue_size=10_000, store=os.environ.get("STORE", "sqlite:///run.db")
)
app = Flask(__name__)


@app.post("/reports")
def create() -> ResponseReturnValue:
    """Submit a report."""
    try:
        event = reports.append(report(**request.get_json()), timeout=10)
    except (ValidationError, TypeError) as error:
        return jsonify(error=str(error)), 422
    except QueueFullError:
        return jsonify(error="too many reports"), 503, {"Retry-After": "30"}
    place = url_for("show", uid=event.id)
    return jsonify(id=str(event.id)), 202, {"Location": place}


@app.get("/reports/<uuid:uid>")
def show(uid: UUID) -> ResponseReturnValue:
    """Return the state of a report, after a wait for its end."""
    if (seconds := request.args.get("wait", 0.0, type=float)) > 0:
        with suppress(Exception):  # the state below has the outcome
            reports.result(uid, timeout=min(seconds, LONGEST))
    try:
        event = reports.get(uid, timeout=10)
    except NotFoundError:
        abort(404)
    answer: dict[str, Any] = {"id": str(uid), "status": event.status}
    if isinstance(event, Event) and event.status == "completed":
        answer["result"] = event.response
    return jsonify(answer)
