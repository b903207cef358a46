"""The standard streams: closed, without a reader, without unicode, and claimed for one thing."""

import io
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from lionpride.cli.output.streams import claim_stdout, prepare, tell, warn
from lionpride.cli.usage import UsageError
from lionpride.errors import LionprideError


def stream_to(fd: int, **options) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(fd, "w"), write_through=True, **options)


@pytest.fixture
def unread():
    """A text stream into a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with stream_to(writer) as stream:
        yield stream


@contextmanager
def real_stdout(monkeypatch):
    """A standard output over descriptor 1, as a process has it and pytest has not."""
    with os.fdopen(1, "w", closefd=False) as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        yield


def test_what_is_told_goes_out_at_once_with_what_was_printed_before(capfd):
    print("before", end=" ")
    tell("told")
    assert capfd.readouterr() == ("before told\n", "")
    tell()
    assert capfd.readouterr() == ("", "")


def test_a_warning_goes_to_standard_error(capfd):
    warn("careful")
    assert capfd.readouterr() == ("", "careful\n")


def test_a_reader_that_has_gone_is_not_missed(unread, monkeypatch):
    monkeypatch.setattr(sys, "stdout", unread)
    monkeypatch.setattr(sys, "stderr", unread)
    for _ in range(3):
        tell("told")
        warn("careful")
    unread.write("what is printed later vanishes, too")


@pytest.mark.parametrize("close", [True, False], ids=["closed", "full"])
def test_output_that_is_lost_is_an_error(monkeypatch, close):
    if not close and not Path("/dev/full").exists():
        pytest.skip("needs a device that is full")
    stream = stream_to(os.open(os.devnull if close else "/dev/full", os.O_WRONLY))
    if close:
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(LionprideError, match="standard output cannot be written: ") as caught:
        tell("told")
    assert "closed" in str(caught.value) if close else "No space left" in str(caught.value)
    if not close:
        tell("the rest vanishes")
        stream.close()


def test_a_warning_that_cannot_be_written_is_dropped(monkeypatch):
    stream = stream_to(os.open(os.devnull, os.O_WRONLY))
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    warn("careful")


def test_prepared_streams_take_any_text(monkeypatch):
    reader, writer = os.pipe()
    with stream_to(writer, encoding="ascii", errors="strict") as stream, io.FileIO(reader) as got:
        monkeypatch.setattr(sys, "stdout", stream)
        prepare()
        tell("日本 and é")
        assert got.read(100) == b"?? and ?\n"


def test_a_stream_that_is_not_there_is_made_up(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdout", None)
    prepare()
    assert sys.stdout.fileno() == 1
    print("shown", flush=True)
    assert capfd.readouterr().out == "shown\n"


def test_preparing_leaves_no_descriptor_behind():
    before = len(list(Path("/dev/fd").iterdir()))
    prepare()
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_claimed_output_is_for_what_claimed_it_alone(monkeypatch, capfd):
    with real_stdout(monkeypatch):
        print("before")
        with claim_stdout("--output") as ours:
            print("printed meanwhile")
            os.write(1, b"written meanwhile\n")
            ours.write(b"ours\n")
        print("after", flush=True)
    out, err = capfd.readouterr()
    assert out == "before\nours\nafter\n"
    assert sorted(err.splitlines()) == ["printed meanwhile", "written meanwhile"]


def test_what_was_claimed_is_given_back_after_an_error(monkeypatch, capfd):
    with real_stdout(monkeypatch):
        with pytest.raises(KeyError), claim_stdout("--output"):
            raise KeyError("x")
        print("after", flush=True)
    assert capfd.readouterr().out == "after\n"


def test_output_that_is_not_there_cannot_be_claimed(monkeypatch):
    monkeypatch.setattr(sys, "__stdout__", None)
    with pytest.raises(UsageError, match="--timeline -: there is no standard output"):
        claim_stdout("--timeline").__enter__()
