"""Texts of the command line without what differs from run to run, to compare with a snapshot."""

import re

_VARIES = {
    "<id>": r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    "<time>": r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: UTC)?",
    "<rate>": r"\b\d[\d,.]*/(?:s|min|h)\b",
    " <duration>": r" +<?\b\d[\d,.]* (?:µs|ms|s|min|h)\b",  # a column is as wide as its widest
    "process <pid>": r"\bprocess \d+\b",
    "[Errno <number>]": r"\[Errno \d+\]",
}


def plain(text: str, **names: object) -> str:
    """Return a text with placeholders for ids, times, durations and process ids.

    Args:
        text: What a command has printed.
        names: What else differs, by the placeholder for it: ``STORE=place.kept``.
    """
    for name, value in names.items():
        text = text.replace(str(value), f"<{name}>")
    for placeholder, pattern in _VARIES.items():
        text = re.sub(pattern, placeholder, text)
    return text
