"""The application of test_server_stop.py: a page, a router, and events that a test holds."""

import asyncio
import os

from fastapi import FastAPI

from lionpride import Executor, job, web
from lionpride.web.fastapi import router


@job
async def held(port: int) -> str:
    """Runs until the server at a port, which is the test, closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()


executor = Executor.of(
    held, queue="stopping", store=os.environ["STORE"], grace=float(os.environ["GRACE"])
)
page = web.app(executor, authorize=lambda request, what: True)
app = FastAPI(lifespan=web.lifespan(executor, run="here", page=page))
app.include_router(router(executor, held, public=True), prefix="/jobs")
app.mount("/page", page)
