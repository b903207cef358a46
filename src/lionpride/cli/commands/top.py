"""``lionpride top``: what is going on in a store, live, with keys to cancel and to retry."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from ...drawing.text import one_line, plural, shorten
from ...errors import LionprideError
from ...stores.inspector import EventFilter
from ...stores.record import Record
from ...view import actions
from ...view.history import History
from ...view.monitor import Monitor
from ...view.overview import Overview, read_overview
from ...view.redact import label_of
from ..caller import caller
from ..grammar import command, finish, json_option, option, store_argument
from ..output.overview_data import overview_data
from ..output.streams import tell
from ..output.table import json_line
from ..store.location import locate_store
from ..usage import UsageError

if TYPE_CHECKING:
    from ..output.dashboard import Choice

__all__ = ["Top", "top"]

Deed = Callable[[], Awaitable[str | None]]
"""Something that is done when it was answered with yes; what it gives is said."""

EVERY = 0.5  # seconds between two looks

KEYS = {"\x1b[A": "up", "\x1b[B": "down", "k": "up", "j": "down", "\t": "tab"}


@command(
    "top",
    help=(
        "Show a store live: counts, throughput, running events, limits, workers, and the latest "
        "failures. Keys cancel and retry events. It needs the extra [cli]."
    ),
)
@store_argument
@option("--once", is_flag=True, help="draw it once, and exit")
@json_option("look (one, with or without --once); it does not need the extra")
@finish
async def top(store: str, once: bool, as_json: bool) -> int:
    """Watch until q is pressed.

    Raises:
        UsageError: if there is no such store, no terminal, or the extra is missing.
    """
    location = locate_store(store)
    await location.check_made()
    if as_json:
        await _tell_once(Monitor(location.url), location.name)
        return 0
    once = once or not (sys.stdout.isatty() and sys.stdin.isatty())
    async with Top(Monitor(location.url), location.name) as display:
        await (display.draw_once() if once else display.watch())
    return 0


async def _tell_once(monitor: Monitor, name: str) -> None:
    """Print the overview of a store as an object, and close the monitor."""
    history = History(monitor)
    try:
        overview = await read_overview(monitor, history)
        pause = await monitor.pause_record()
    finally:
        await history.close()
        await monitor.close()
    tell(json_line({"store": name} | overview_data(overview, pause)))


class Top:
    """Shows a store, and handles keys.

    Args:
        monitor: The queues of the store; it is closed at the end.
        name: The name of the store.
    """

    def __init__(self, monitor: Monitor, name: str) -> None:
        try:
            from ..output import dashboard  # late: rich is an extra, and slow to import
        except ImportError as error:
            raise UsageError(
                "top needs the extra [cli]: pip install 'lionpride-core[cli]'"
            ) from error
        self._dashboard = dashboard
        self.monitor = monitor
        self.name = name
        self.history = History(monitor)
        self.choice: Choice = dashboard.Choice()
        self.overview: Overview | None = None
        self.over = False
        self._deed: Deed | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.history.close()
        await self.monitor.close()

    # -- drawing -----------------------------------------------------------------------------

    async def draw_once(self) -> None:
        """Look, and print what there is."""
        from rich.console import Console  # late: as above

        await self.look()
        console = Console(highlight=False)
        height = max(24, console.height if console.is_terminal else 40)
        with console.capture() as drawn:
            console.print(self.drawn(), height=height)
        *lines, _keys = drawn.get().splitlines()  # without a terminal there are no keys
        tell("\n".join(line for line in lines if line.strip()))

    async def watch(self) -> None:
        """Draw again and again, until q is pressed."""
        from rich.console import Console  # late: as above
        from rich.live import Live  # late: as above

        pressed: asyncio.Queue[str] = asyncio.Queue()
        await self.look()
        console = Console(highlight=False)
        with (
            keys(pressed),
            Live(self.drawn(), console=console, screen=True, auto_refresh=False) as live,
        ):
            while not self.over:
                try:
                    async with asyncio.timeout(EVERY):
                        await self.press(await pressed.get())
                except TimeoutError:
                    await self.look()
                live.update(self.drawn(), refresh=True)

    async def look(self) -> None:
        """See what is going on; if the store does not answer now, say so."""
        try:
            self.overview = await read_overview(self.monitor, self.history)
        except LionprideError as error:
            if self.overview is None:
                raise
            self.choice = replace(self.choice, says=str(error))
            return
        can_be = await self.monitor.can_pause()
        self.choice = replace(self.choice, paused=await self.monitor.paused() if can_be else None)

    def drawn(self) -> Any:
        """Return the display of the present state."""
        assert self.overview is not None
        return self._dashboard.Dashboard(self.name, self.overview, self.choice)

    # -- keys --------------------------------------------------------------------------------

    async def press(self, key: str) -> None:
        """Do what a key says; what changes something is asked about first."""
        key = KEYS.get(key, key)
        choice = self.choice
        self.choice = replace(choice, says="", asks="")
        if choice.asks:
            deed, self._deed = self._deed, None
            if key in ("y", "Y") and deed is not None:
                await self._do(deed)
        elif key == "q":
            self.over = True
        elif key == "tab":
            other = "failures" if choice.list == "running" else "running"
            self.choice = replace(self.choice, list=other, index=0)
        elif key in ("up", "down"):
            last = len(self._rows()) - 1
            index = choice.index + (1 if key == "down" else -1)
            self.choice = replace(self.choice, index=max(0, min(last, index)))
        elif key in ("c", "r", "R", "p"):
            await self._ask(key)

    def _rows(self) -> list[Record]:
        assert self.overview is not None
        if self.choice.list == "failures":
            return list(self.overview.failures)
        return [one.record for one in self.overview.runs]

    async def _ask(self, key: str) -> None:
        """Ask whether it is to be done, and say how many it concerns."""
        rows = self._rows()
        if key == "p":
            await self._ask_to_pause()
        elif key == "R":
            await self._ask_to_retry_all()
        elif self.choice.index < len(rows):
            self._ask_about(rows[self.choice.index], "cancel" if key == "c" else "retry")

    async def _ask_to_pause(self) -> None:
        monitor = self.monitor
        if not await monitor.can_pause():
            self._say("this store has no queue that can be paused")
            return
        words = "" if monitor.executor is not None else " (all workers)"
        if await monitor.paused():
            self._question(f"Start events again{words}?", partial(monitor.resume, caller()))
        else:
            self._question(f"Start no more events{words}?", lambda: monitor.pause(caller()))

    async def _ask_to_retry_all(self) -> None:
        what = EventFilter(actions.FAILED)
        number = await self.monitor.count_events(None, what)
        if not number:
            self._say("nothing has failed")
            return

        async def deed() -> str:
            done = await actions.retry_all(self.monitor, None, what, caller())
            return f"{plural(done, 'event')} {'is' if done == 1 else 'are'} pending again"

        self._question(f"Retry {plural(number, 'failed event')}?", deed)

    def _ask_about(self, record: Record, word: str) -> None:
        if word not in actions.possible_actions(record):
            self._say(f"{_named(record)} is {record.status.value}: {word} is not possible")
            return

        async def deed() -> str:
            one = actions.cancel if word == "cancel" else actions.retry
            done = await one(self.monitor, record, caller())
            return f"{_named(record)}: " + (_DONE[word] if done else "it had already finished")

        self._question(f"{word.capitalize()} {_named(record)}?", deed)

    def _question(self, words: str, deed: Deed) -> None:
        self._deed = deed
        self.choice = replace(self.choice, asks=words)

    def _say(self, words: str) -> None:
        self.choice = replace(self.choice, says=words)

    async def _do(self, deed: Deed) -> None:
        try:
            says = await deed()
        except LionprideError as error:
            says = str(error)
        await self.look()
        self._say(says or "")


def _named(record: Record) -> str:
    """Name an event by its class, its number and, if it has one, its first text."""
    name = one_line(f"{record.kind.rpartition('.')[2]} {record.number}")
    about = shorten(label_of(record), 40)
    return f"{name} ({about})" if about else name


_DONE = {"cancel": "cancelled, or its worker was asked", "retry": "retried"}


@contextmanager
def keys(pressed: asyncio.Queue[str]) -> Iterator[None]:
    """Put what is pressed into a queue, key by key, without waiting for a line's end."""
    import termios  # late: there is none on Windows
    import tty  # late: the same

    loop, fd = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def read() -> None:
        text = os.read(fd, 64).decode("utf-8", "ignore")
        while text:
            length = 3 if text.startswith("\x1b[") else 1
            pressed.put_nowait(text[:length])
            text = text[length:]

    tty.setcbreak(fd)
    loop.add_reader(fd, read)
    try:
        yield
    finally:
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
