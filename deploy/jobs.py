"""The jobs of an application: replace them by your own."""

import os

from lionpride import Executor, job


@job(timeout=600)
async def crawl(url: str) -> str:
    """Return the text of a page."""
    return f"<{url}>"


store = os.environ.get("LIONPRIDE_STORE", "sqlite:///run.db")
crawler = Executor.of(crawl, concurrency_limit=16, store=store)
