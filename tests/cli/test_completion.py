"""Completion in a shell: the script, and the words that it asks for."""

import json
import os
import shutil
import subprocess

import pytest
from cli.sample_store import fill

SHELLS = ["bash", "zsh", "fish"]


def completed(place, *words):
    """The words that fit the last one, as the script of bash gets them."""
    asking = {
        "COMP_WORDS": " ".join(["lionpride", *words]),
        "COMP_CWORD": str(len(words)),
    }
    return [tuple(line.split(",", 1)) for line in answered(place, "bash", **asking)]


def answered(place, shell, **variables):
    """What the program answers to the script of a shell."""
    asking = {"_LIONPRIDE_COMPLETE": f"{shell}_complete", **variables}
    done = subprocess.run(
        place.command(),
        cwd=place.path,
        env=place.env | asking,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_script_of_zsh_gets_words_with_their_meaning(place):
    lines = answered(place, "zsh", COMP_WORDS="lionpride pr", COMP_CWORD="1")
    assert lines == ["plain", "prune", "remove finished events of a store"]
    lines = answered(place, "zsh", COMP_WORDS="lionpride tail ru", COMP_CWORD="2")
    assert lines == ["file", "ru", "_"]


def test_the_script_of_fish_gets_words_with_their_meaning(place):
    lines = answered(place, "fish", COMP_WORDS="lionpride pr", COMP_CWORD="pr")
    assert lines == ["plain,prune\tremove finished events of a store"]
    lines = answered(place, "fish", COMP_WORDS="lionpride append ru", COMP_CWORD="ru")
    assert lines == ["file,ru"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_is_printed(place, shell):
    done = place.run("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_lionpride_completion" in done.stdout
    assert f"_LIONPRIDE_COMPLETE={shell}_complete" in done.stdout
    if program := shutil.which(shell):
        parsed = subprocess.run(
            [program, "-n"], input=done.stdout, capture_output=True, text=True, check=False
        )
        assert (parsed.returncode, parsed.stderr) == (0, "")


def test_another_shell_is_refused(place):
    done = place.run("completion", "tcsh")
    assert (done.returncode, done.stdout) == (2, "")
    assert "argument SHELL: 'tcsh' is not one of 'bash', 'zsh', 'fish'" in done.stderr


def test_commands_options_and_values_are_completed(place):
    assert completed(place, "ret") == [("plain", "retry")]
    assert ("plain", "--reveal") in completed(place, "show", "run.db", "--re")
    statuses = completed(place, "ls", "run.db", "--status", "c")
    assert statuses == [("plain", "completed"), ("plain", "cancelled")]


@pytest.mark.parametrize(
    "words",
    [
        ("ls", "ru"),
        ("run", "jo"),
        ("work", "jo"),
        ("import", "ru"),
        ("run", "job.py:W", "--input", ""),
    ],
)
def test_files_are_completed_by_the_shell(place, words):
    assert completed(place, *words) == [("file", words[-1])]


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_the_script_of_bash_completes(place):
    (place.path / "lionpride").write_text(
        f'#!/bin/sh\nexec {" ".join(place.command())} "$@"\n', encoding="utf-8"
    )
    (place.path / "lionpride").chmod(0o755)
    code = (
        'eval "$(lionpride completion bash)"\n'
        "COMP_WORDS=(lionpride mig) COMP_CWORD=1\n"
        "_lionpride_completion lionpride\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    env = place.env | {"PATH": f"{place.path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", code],
        cwd=place.path,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("migrate\n", "")


def test_a_migration_is_told_as_data(place):
    def migrate(*words):
        done = place.run("migrate", "run.db", "--json", *words)
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    status, before = migrate("--check")
    newest = before["newest"]
    expected = {"store": "run.db", "found": 0, "newest": newest, "is_current": False}
    assert (status, before) == (1, expected)
    status, done = migrate()
    assert (status, done) == (0, expected | {"is_current": True})
    assert migrate("--check") == (0, expected | {"found": newest, "is_current": True})


def test_an_import_is_told_as_data(place):
    fill(str(place.path / "one.db"))
    assert place.run("export", "one.db", "-o", "all.jsonl", "--reveal").returncode == 0
    (told,) = place.store("import", "all.jsonl", "two.db", "--json")
    (again,) = place.store("import", "all.jsonl", "two.db", "--json", "--exist-ok")
    assert told["store"] == "two.db"
    assert (told["events"], told["there"]) == (sum(told["statuses"].values()), 0)
    assert (again["events"], again["there"]) == (0, told["events"] + told["schedules"])
