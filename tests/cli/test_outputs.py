"""Files to write: opened without harm, never one of the others, and written whole."""

import io
import os
import subprocess
import sys

import pytest

from lionpride.cli.batch.outputs import Output, is_same_file, open_output
from lionpride.cli.usage import UsageError


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_opening_keeps_what_is_there_until_it_starts_over(here):
    path = here / "results.jsonl"
    path.write_text("old\n")
    output = open_output("--output", "results.jsonl")
    assert path.read_text() == "old\n"
    output.start_over()
    output.write(b"new\n")
    output.close()
    assert path.read_text() == "new\n"


def test_a_pipe_and_what_a_shell_has_opened_are_not_emptied(here):
    reader, writer = os.pipe()
    with io.FileIO(reader) as source, io.FileIO(writer, "w") as raw:
        output = Output(raw, "--output", "pipe")
        output.start_over()
        output.write(b"through")
        assert source.read(20) == b"through"
    (here / "log").write_text("before ")
    with io.FileIO("log", "a") as raw:
        output = Output(raw, "--output", "-")
        output.start_over()
        output.write(b"after")
    assert (here / "log").read_text() == "before after"


class Sipping(io.FileIO):
    """Writes a few bytes at a time, and now and then none at all."""

    calls = 0

    def write(self, data):
        self.calls += 1
        return None if self.calls % 3 == 0 else super().write(data[:2])


def test_all_is_written_however_little_at_a_time(here):
    with Sipping("x", "w") as raw:
        Output(raw, "--output", "x").write(b"all of it")
    assert (here / "x").read_bytes() == b"all of it"


def test_it_has_a_name_for_messages(here):
    with open_output("--output", "x")._raw as raw:
        assert Output(raw, "--output", "x").name == "x"
        assert Output(raw, "--output", "-").name == "standard output"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone/results.jsonl", ["no directory", "mkdir -p"]),
        (".", ["is a directory"]),
        ("events.jsonl", ["also the file of --input"]),
        ("./same/../events.jsonl", ["also the file of --input"]),
        ("soft", ["also the file of --input"]),
        ("hard", ["also the file of --input"]),
        ("events.jsonl/x", ["no directory"]),
    ],
)
def test_what_cannot_be_written_is_named(here, name, words):
    (here / "same").mkdir()
    (here / "events.jsonl").touch()
    (here / "soft").symlink_to("events.jsonl")
    (here / "hard").hardlink_to(here / "events.jsonl")
    with pytest.raises(UsageError) as caught:
        open_output("--output", name, [("--input", "events.jsonl")])
    assert all(word in str(caught.value) for word in [*words, name])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_that_may_not_be_written_is_named(here):
    (here / "mine").touch(0o400)
    with pytest.raises(UsageError, match="mine cannot be written: Permission denied"):
        open_output("--output", "mine")


def test_a_device_may_be_shared(here):
    open_output("--output", os.devnull, [("--input", os.devnull)]).close()


def test_two_names_of_a_file_that_is_still_to_be_made_are_one(here):
    assert is_same_file("new.db", "./x/../new.db")
    assert not is_same_file("new.db", "other.db")


def test_only_a_file_can_be_emptied(here):
    output = open_output("--output", "results.jsonl")
    output.write(b"old")
    assert output.start_over()
    assert (here / "results.jsonl").read_bytes() == b""
    output.close()
    null = open_output("--output", os.devnull)
    assert not null.start_over()
    null.close()


def test_two_runs_cannot_write_one_file(here, snapshot):
    output = open_output("--output", "results.jsonl")
    code = (
        "from lionpride.cli.batch.outputs import open_output; "
        "open_output('--output', 'results.jsonl')"
    )
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert other.stderr.splitlines()[-1] == snapshot
    output.close()
    subprocess.run(command, timeout=60, check=True)
