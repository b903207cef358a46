"""The demo's event measures any file, and its streamed pieces add up to the same figures."""

import hashlib
import importlib.util
import json
import subprocess
import sys
import tokenize
from io import StringIO
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "stdlib_files.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("stdlib_files", EXAMPLE)
    module = sys.modules["stdlib_files"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["stdlib_files"]


@pytest.fixture
def measure(example, tmp_path, monkeypatch):
    """What the event makes of a source text."""
    monkeypatch.setattr(example, "STDLIB", tmp_path)

    async def run(source: bytes, **fields):
        (tmp_path / "source.py").write_bytes(source)
        event = example.MeasureFile(path="source.py", **fields)
        await event.invoke()
        assert event.execution.error is None
        return event.response

    return run


LONG = b"".join(b"x%d = (%d,\n  '''a\n\n b''')\n" % (i, i) for i in range(3000))


@pytest.mark.parametrize("source", [b"", b"x = 1", b"x = 1\ny = 2\n", LONG, LONG + b"# end"])
async def test_the_figures_are_those_of_the_text(measure, source):
    found = await measure(source)
    assert found == {
        "lines": len(source.splitlines()),
        "tokens": len(list(tokenize.generate_tokens(StringIO(source.decode()).readline))),
        "sha256": hashlib.sha256(source).hexdigest(),
    }


@pytest.mark.parametrize("source", [b"", b"x = 1\n", LONG, LONG[:-100]])
async def test_the_pieces_of_a_stream_add_up(measure, source):
    whole, pieces = await measure(source), await measure(source, streaming=True)
    assert sum(piece["lines"] for piece in pieces) == whole["lines"]
    if "note" not in whole:
        assert sum(piece["tokens"] for piece in pieces) == whole["tokens"]
    assert pieces[-1]["sha256"] == whole["sha256"]
    assert (len(pieces) > 1) == (len(source) > 10_000)


@pytest.mark.parametrize(
    "source",
    [
        b"# coding: uft-8\n",
        b"# coding: hex\n",
        b"x = '\xff'\n",
        b"# coding: ascii\n\xe4\n",
        b"# coding: ascii\n\n\n'\xe4'\n",
        b"(\n",
        b"'''\n",
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
async def test_what_is_no_python_has_a_note_and_no_tokens(measure, source, streaming):
    found = await measure(source, streaming=streaming)
    last = found[-1] if streaming else found
    assert last["tokens"] is None
    assert "not tokenized" in last["note"]
    assert last["lines"] == source.count(b"\n")


@pytest.mark.parametrize(
    ("source", "tokens"),
    [(b"# coding: latin-1\n'\xe4'\n", 5), (b"\xef\xbb\xbfx\n\n'\xc3\xa4'\n", 6)],
    ids=["declared", "byte order mark"],
)
async def test_the_encoding_is_that_of_the_file(measure, source, tokens):
    found = await measure(source)
    assert found["tokens"] == tokens
    assert "note" not in found


def test_the_events_of_all_files_are_written(tmp_path, place):
    target = tmp_path / "new" / "events.jsonl"
    command = [sys.executable, str(EXAMPLE), "--write", str(target)]
    done = subprocess.run(command, env=place.env, capture_output=True, text=True, check=True)
    fields = [json.loads(line) for line in target.read_text().splitlines()]
    assert len(fields) > 100
    assert f"{len(fields):,} files" in done.stdout
    assert any(each.get("streaming") for each in fields)
    assert all(each.get("streaming", False) == (each["priority"] > 131072) for each in fields)
    assert {"json/__init__.py", "asyncio/tasks.py"} <= {each["path"] for each in fields}
