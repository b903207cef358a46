"""Lines out of files and pipes: numbered, in batches, blank ones skipped, none lost."""

import asyncio
import io
import os
import random
import threading

import pytest

from lionpride.cli.batch.source import AHEAD, Source, batches, open_source
from lionpride.cli.usage import UsageError


def reader(data: bytes, *sizes: int):
    """A read() that gives so many bytes at a time, over and over."""
    at, step = 0, 0

    def read() -> bytes:
        nonlocal at, step
        chunk = data[at : at + sizes[step % len(sizes)]]
        at, step = at + len(chunk), step + 1
        return chunk

    return read


def flat(found):
    return [line for batch in found for line in batch]


def test_lines_are_numbered_and_blank_ones_are_counted_but_skipped():
    data = b"a\n\n  \t\r\nb\r\nc"
    assert flat(batches(reader(data, 100))) == [(1, b"a"), (4, b"b\r"), (5, b"c")]


@pytest.mark.parametrize("seed", range(20))
def test_where_the_chunks_end_makes_no_difference(seed):
    chance = random.Random(seed)
    data = b"\n".join(b"x" * chance.randrange(12) for _ in range(200))
    sizes = [chance.randrange(1, 40) for _ in range(20)]
    expected = [(n, line) for n, line in enumerate(data.split(b"\n"), 1) if line]
    assert flat(batches(reader(data, *sizes), size=chance.randrange(1, 9))) == expected


def test_a_batch_has_a_bound():
    found = list(batches(reader(b"x\n" * 25, 1000), size=10))
    assert [len(batch) for batch in found] == [10, 10, 5]


def test_whole_lines_are_handed_on_after_each_read():
    found = batches(reader(b"one\ntwo\nthree\n", 6))
    assert next(found) == [(1, b"one")]
    assert next(found) == [(2, b"two")]


def test_nothing_gives_nothing():
    assert flat(batches(reader(b"", 1))) == []
    assert flat(batches(reader(b"\n\n \n", 2))) == []


async def test_a_file_is_read_to_its_end(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"{}\n" * 100_000)
    source = open_source(str(path))
    try:
        assert source.whole
        assert sum([len(batch) async for batch in source.lines()]) == 100_000
    finally:
        source.close()


async def test_a_pipe_is_taken_as_it_comes(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)  # so that neither end waits for the other to be opened
    source = open_source(str(path))
    assert not source.whole
    lines = source.lines()
    os.write(both, b"first\nsec")
    assert await anext(lines) == [(1, b"first")]
    os.write(both, b"ond\n")
    assert await anext(lines) == [(2, b"second")]
    os.write(both, b"last")
    os.close(both)
    assert await anext(lines) == [(3, b"last")]
    assert [batch async for batch in lines] == []
    source.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [("gone.jsonl", "no such file"), (".", "is a directory"), ("empty.jsonl", "is empty")],
)
def test_what_cannot_be_read_is_named(tmp_path, name, words):
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UsageError, match=words) as caught:
        open_source(str(tmp_path / name))
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pipe_that_nobody_reads_on_ends_quietly(tmp_path, monkeypatch):
    """Its thread outlives the loop, and goes when the next line or the end comes."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    quarrels = []
    monkeypatch.setattr(threading, "excepthook", quarrels.append)
    before = set(threading.enumerate())

    async def read_one():
        lines = open_source(str(path)).lines()
        os.write(both, b"first\n")
        return await anext(lines)

    assert asyncio.run(read_one()) == [(1, b"first")]
    (thread,) = set(threading.enumerate()) - before
    os.write(both, b"second\n")
    os.close(both)
    thread.join(20)
    assert not thread.is_alive()
    assert quarrels == []


async def test_no_more_than_a_few_batches_are_read_ahead(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    reads = []

    class Counted(io.FileIO):
        def read(self, size):
            data = super().read(8)
            reads.append(data)
            return data

    lines = Source(Counted(path), "counted").lines()
    os.write(both, b"4 bytes\n" * 100)
    os.close(both)
    assert await anext(lines) == [(1, b"4 bytes")]
    await asyncio.to_thread(lambda: None)
    assert len(reads) <= AHEAD + 2
    assert sum([len(batch) async for batch in lines]) == 99
