"""Measure every source file of the Python standard library: real work that each machine has.

Write one line of JSON for each file, then run them, small files first::

    python examples/stdlib_files.py --write build/events.jsonl
    lionpride run examples/stdlib_files.py:MeasureFile --input build/events.jsonl \
        --output build/results.jsonl --timeline build/run.svg --store build/demo.db \
        --fresh-if-done --concurrency 16 --capacity 500 --refresh 1

`make demo` does both. Stop it with Ctrl-C, or kill it, and the same command runs what is left.
"""

import argparse
import asyncio
import hashlib
import io
import json
import os
import sys
import sysconfig
import tokenize
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from lionpride.core import Event

STDLIB = Path(sysconfig.get_path("stdlib"))
NOT_OURS = {"site-packages", "dist-packages", "__pycache__"}
LARGE = 128 * 1024  # bytes; files above it are streamed
PIECE = 2000  # lines in one chunk of a stream
BREATH = 200  # tokens after which the loop may turn to something else


class MeasureFile(Event):
    """Counts the lines and the tokens of one file of the library, and takes its digest.

    With `streaming` it yields these figures piece by piece, and the digest with the last piece;
    else it returns their sums. A file that is no valid Python, of which the library's own tests
    hold a few, has no tokens, and a note says why.
    """

    path: str

    async def _invoke(self) -> dict[str, Any]:
        total: dict[str, Any] = {"lines": 0, "tokens": 0}
        async for piece in self._stream():
            total["lines"] += piece.pop("lines")
            tokens = piece.pop("tokens")
            total["tokens"] = None if tokens is None else total["tokens"] + tokens
            total.update(piece)
        return total

    async def _stream(self) -> AsyncIterator[dict[str, Any]]:
        data = await asyncio.to_thread((STDLIB / self.path).read_bytes)
        lines = data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
        done = tokens = 0
        end: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest()}
        try:
            for count, line in enumerate(token_lines(data)):
                if line > done + PIECE and self.streaming:
                    yield {"lines": PIECE, "tokens": tokens}
                    done, tokens = done + PIECE, 0
                tokens += 1
                if count % BREATH == 0:
                    await asyncio.sleep(0)  # tokenizing is pure computation: let others run
        except (SyntaxError, UnicodeDecodeError, LookupError, tokenize.TokenError) as error:
            end |= {"note": f"not tokenized: {type(error).__name__}: {error}"}
        yield {"lines": lines - done, "tokens": None if "note" in end else tokens, **end}


def token_lines(data: bytes) -> Iterator[int]:
    """The line that each token of a source text begins in.

    The text is decoded here, because from Python 3.12 on `tokenize` takes bytes
    that the declared encoding does not have.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    for token in tokenize.generate_tokens(io.StringIO(data.decode(encoding)).readline):
        yield token.start[0]


def events() -> Iterator[dict[str, Any]]:
    """The fields of one event for each file, in the order of their names."""
    for folder, folders, names in os.walk(STDLIB):
        folders[:] = sorted(set(folders) - NOT_OURS)
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix == ".py" and path.is_file():
                size = path.stat().st_size
                fields = {"path": path.relative_to(STDLIB).as_posix(), "priority": size}
                yield fields | ({"streaming": True} if size > LARGE else {})


def main() -> None:
    """Write the events of all files, one line of JSON each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--write", metavar="FILE", help="where to (default: standard output)")
    found = list(events())
    text = "".join(json.dumps(fields) + "\n" for fields in found)
    if (target := parser.parse_args().write) is None:
        sys.stdout.write(text)
        return
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(text, encoding="utf-8")
    size = sum(fields["priority"] for fields in found) / 1e6
    streamed = sum("streaming" in fields for fields in found)
    print(f"{len(found):,} files, {size:.1f} MB, {streamed} of them to be streamed: {target}")


if __name__ == "__main__":
    main()
