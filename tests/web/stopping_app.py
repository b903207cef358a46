"""The application of test_server_stop.py: a page, a router, and events that a test holds."""

import os

from fastapi import FastAPI
from held import held

from lionpride import Executor, web
from lionpride.web.fastapi import router

executor = Executor.of(
    held, queue="stopping", store=os.environ["STORE"], grace=float(os.environ["GRACE"])
)
page = web.app(executor, authorize=lambda request, what: True)
app = FastAPI(lifespan=web.lifespan(executor, run="here", page=page))
app.include_router(router(executor, held, public=True), prefix="/jobs")
app.mount("/page", page)
