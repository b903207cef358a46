"""A FastAPI service that submits events, waits for them and streams them. Workers run them.

Start both on one store::

    lionpride work examples/fastapi_app.py:reports --store sqlite:///run.db
    STORE=sqlite:///run.db uvicorn --app-dir examples fastapi_app:app

    curl -H 'X-User: ada' -H 'Content-Type: application/json' -d '{"words": ["to", "be"]}' \
        'http://127.0.0.1:8000/jobs/report?wait=10'

``http://127.0.0.1:8000/docs`` lists the operations, and ``/page/`` shows the events: open it
once, and the server logs its URL with the token.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException

from lionpride import Executor, current, job, web
from lionpride.web.fastapi import CurrentExecutor, router


@job(timeout=60)
async def report(words: list[str]) -> dict[str, int]:
    """Counts words, slowly."""
    for done in range(5):
        current().report_progress(done / 5, f"chapter {done + 1} of 5")
        await asyncio.sleep(0.1)
    return {word: words.count(word) for word in sorted(set(words))}


@job
async def answer(question: str) -> AsyncIterator[str]:
    """Answers word by word."""
    for word in ("it", "depends", "on", question):
        await asyncio.sleep(0.05)
        yield word


reports = Executor.of(
    report,
    answer,
    queue="reports",
    max_queue_size=10_000,
    store=os.environ.get("STORE", "sqlite:///run.db"),
)


def signed_in(x_user: Annotated[str | None, Header()] = None) -> str:
    """Return the user; replace it by your own check."""
    if not x_user:
        raise HTTPException(401, "Who are you?")
    return x_user


page = web.app(reports, name="reports")
app = FastAPI(title="Reports", lifespan=web.lifespan(reports, run="never", page=page))
app.include_router(
    router(reports, report, answer, dependencies=[Depends(signed_in)]), prefix="/jobs"
)
app.mount("/page", page)


@app.get("/counts", dependencies=[Depends(signed_in)])
async def counts(executor: CurrentExecutor) -> dict[str, int]:
    """Return the number of events in each status."""
    found = await executor.store.counts()
    return {status.value: count for status, count in found.items()}
