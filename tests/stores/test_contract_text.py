"""Every store finds the same events by a part of their error, in upper and lower case."""

from stores.asking import S, claim_one, put, settle

from lionpride.rules.state_machine import Ending
from lionpride.stores.contract import Store
from lionpride.stores.inspector import EventFilter

MESSAGES = [
    "Ärger mit ÖL",
    "große Straße, STRAẞE",
    "ΟΔΟΣ οδός ελλάς",
    "Привет, МИР",
    "Ǆ and Åse",
    "日本語 エラー",
    "100% [a-z]* what? \\d ^x$ ***: (?i) {2} | 'quoted' \"twice\"",
    "line one\nline two\ttab",
    "before\0after",
    f"{'x' * 3000} the end {'y' * 3000}",
]


async def fail(store: Store, message: str) -> None:
    one = await claim_one(store, start=True)
    await settle(store, one, Ending(S.FAILED, error=ValueError(message), duration=0.1, tries=1))


async def found(store: Store, text: str, status: object = None) -> list[int]:
    """Return which messages are found: positions in ``MESSAGES``."""
    what, seen = EventFilter(status, text=text), store.inspector  # type: ignore[arg-type]
    records = await seen.list_events(what, limit=1000)
    assert await seen.count_events(what) == len(records)
    return sorted(int(record.payload["label"]) for record in records)


CASES = [
    ("Ärger", [0]),
    ("ärger", [0]),
    ("ÄRGER MIT öl", [0]),
    ("arger", []),
    ("GROẞE straße", [1]),
    ("strasse", []),
    ("οδος", [2]),
    ("ΕΛΛΆΣ", [2]),
    ("привет, мир", [3]),
    ("ПРИВЕТ", [3]),
    ("ǆ AND åSE", [4]),
    ("日本", [5]),
    ("ValueError: 日本", [5]),
    ("valueerror: ", list(range(len(MESSAGES)))),
    ("[a-z]*", [6]),
    ("[A-Z]*", [6]),
    ("[b]", []),
    ("?", [6]),
    ("*", [6]),
    ("%", [6]),
    ("_", []),
    ("\\d", [6]),
    ("^X$", [6]),
    ("***:", [6]),
    ("(?i)", [6]),
    ("{2} | 'Quoted' \"", [6]),
    ("one\nLINE", [7]),
    ("one line", []),
    ("the END", [9]),
    ("AFTER", [8]),
    ("\ud800", [6]),  # it cannot be in a database: it is looked for as "?"
    ("\0", [8]),
]


async def test_a_text_is_found_in_upper_and_lower_case_of_all_letters(store: Store) -> None:
    await put(store, *range(len(MESSAGES) + 1))
    for message in MESSAGES:
        await fail(store, message)
    answers = {text: await found(store, text) for text, _ in CASES}
    assert answers == dict(CASES)
    for text, positions in CASES:
        assert await found(store, text, S.FAILED) == positions
        assert await found(store, text, S.COMPLETED) == []


async def test_the_error_of_an_event_that_waits_again_is_found_too(store: Store) -> None:
    await put(store, 1.0)
    one = await claim_one(store, start=True)
    again = Ending(S.PENDING, error=ValueError("Übermut"), duration=0.1, delay=5.0, tries=1)
    await settle(store, one, again)
    assert await found(store, "ÜBERMUT") == [0]
    assert await found(store, "übermut", S.PENDING) == [0]
