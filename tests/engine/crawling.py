"""Events with parents: pages are fetched, and their texts are merged."""

import asyncio

from lionpride import Event, Skip, current


class Fetch(Event):
    """A page. ``fails`` is the message of the error that it raises; "skip" skips it."""

    url: str = ""
    fails: str = ""

    async def _invoke(self) -> str:
        await asyncio.sleep(0)
        if self.fails == "skip":
            raise Skip("nothing new")
        if self.fails:
            raise ValueError(self.fails)
        return f"<{self.url}>"


class Merge(Event):
    """The texts of its parents, in their order."""

    async def _invoke(self) -> str:
        return "".join([page.response async for page in current().parents()])


def fetches(n: int) -> list[Fetch]:
    """Return pages with the numbers from 0 on as their URLs."""
    return [Fetch(url=str(number)) for number in range(n)]
