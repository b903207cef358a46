"""Settings of the command line: arguments, then the environment, then pyproject.toml."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli.sample_store import fill

from lionpride.cli import load_commands
from lionpride.cli.grammar import Command
from lionpride.cli.settings import PREFIX, SETTINGS, name_of

ROOT = Path(__file__).resolve().parents[2]
JOBS = """
from lionpride.core import job

@job
def double(x: int) -> int:
    return 2 * x
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with two stores and with jobs."""
    fill(str(tmp_path / "one.db"), "a")
    fill(str(tmp_path / "two.db"), "b")
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "in.jsonl").write_text('{"x": 1}\n')
    return tmp_path


def write(folder, text):
    (folder / "pyproject.toml").write_text(text)


def call(folder, *words, **variables):
    """Run the program; return its exit status, its output and its errors."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
    done = subprocess.run(
        [sys.executable, "-m", "lionpride", *words],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def queues(folder, *words, **variables):
    """The queues that `counts` has found."""
    status, out, err = call(folder, "counts", "--json", *words, **variables)
    assert status == 0, err
    return {json.loads(line)["queue"] for line in out.splitlines()}


def test_arguments_come_before_the_environment_and_that_before_the_file(folder):
    write(folder, '[tool.lionpride]\nstore = "one.db"\n')
    assert queues(folder) == {"a"}
    assert queues(folder, LIONPRIDE_STORE="two.db") == {"b"}
    assert queues(folder, "one.db", LIONPRIDE_STORE="two.db") == {"a"}
    assert queues(folder, "--store", "one.db", LIONPRIDE_STORE="two.db") == {"a"}


def test_the_table_of_a_command_comes_first(folder):
    write(folder, '[tool.lionpride]\nstore = "one.db"\n[tool.lionpride.counts]\nstore = "two.db"\n')
    assert queues(folder) == {"b"}
    assert '"a"' in call(folder, "ls", "--json")[1]


def test_the_file_may_be_above_and_its_paths_are_relative_to_it(folder):
    write(folder, '[tool.lionpride]\nstore = "one.db"\n')
    below = folder / "below" / "it"
    below.mkdir(parents=True)
    assert queues(below) == {"a"}


def test_an_id_is_not_a_store_if_a_setting_gives_the_store(folder):
    out = call(folder, "ls", "one.db", "--json")[1]
    one = json.loads(out.splitlines()[0])["id"]
    found = call(folder, "show", one, "--json", LIONPRIDE_STORE="one.db")
    assert found[0] == 0
    assert json.loads(found[1])["id"] == one
    assert call(folder, "show", "one.db", one, "--json", LIONPRIDE_STORE="two.db") == found


def test_append_tells_a_store_from_a_target_and_its_fields(folder):
    job = "jobs.py:double"
    for words in ([job, "x=1"], ["one.db", job, "x=1"], [job, "x:=1", "--store", "one.db"]):
        assert call(folder, "append", *words, LIONPRIDE_STORE="two.db")[0] == 0
    added = {
        store: json.loads(call(folder, "counts", store, "--json")[1].splitlines()[-1])
        for store in ("one.db", "two.db")
    }
    assert added["one.db"]["pending"] == 2
    assert added["two.db"]["pending"] == 1


def test_a_file_without_a_store_leaves_the_store_to_the_arguments(folder):
    write(folder, "[tool.lionpride]\nconcurrency = 2\n")
    status, _, err = call(folder, "counts")
    assert (status, "Traceback" in err) == (2, False)
    assert "STORE is a file" in err


def test_a_worker_takes_all_from_settings(folder):
    assert call(folder, "run", "jobs.py:double", "--input", "in.jsonl", "--store", "new.db")[0] == 0
    write(
        folder,
        '[tool.lionpride]\nstore = "new.db"\ntarget = ["jobs.py"]\n'
        "[tool.lionpride.work]\nuntil-empty = true\nconcurrency = 2\nquiet = true\n",
    )
    status, _, err = call(folder, "work")
    assert (status, err) == (0, "")
    assert "working on" in call(folder, "work", "--no-quiet")[2]


def test_the_options_for_production_are_settings(folder):
    words = ("work", "jobs.py", "--store", "one.db", "--until-empty")
    write(folder, '[tool.lionpride.work]\nhealth-port = 0\nlog-format = "text"\n')
    variables = {"LIONPRIDE_LOG_FORMAT": "json", "LIONPRIDE_LOG_LEVEL": "info"}
    status, _, err = call(folder, *words, **variables)
    assert status == 0
    records = [json.loads(line) for line in err.splitlines()]
    assert any("/health/live" in each["message"] for each in records)
    assert not err.startswith(call(folder, *words, "--log-format", "text", **variables)[2][:1])
    status, _, err = call(folder, *words, LIONPRIDE_MAX_EVENTS="5")
    assert (status, "--max-events cannot be used with --until-empty" in err) == (2, True)


def test_a_port_that_kubernetes_sets_for_a_service_is_ignored(folder):
    words = ("work", "jobs.py", "--store", "one.db", "--until-empty", "--log-format", "json")
    status, _, err = call(folder, *words, LIONPRIDE_HEALTH_PORT="tcp://10.0.0.1:80")
    assert (status, "/health" in err) == (0, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('stor = "x"', "stor = 'x' in [tool.lionpride]: no such setting: did you mean store?"),
        ("store = 3", "store in [tool.lionpride]: cannot be 3: write a text"),
        ("[tool.lionpride.wrk]", "[tool.lionpride.wrk]: wrk is no command: did you mean work?"),
        (
            "[tool.lionpride.work]\nquiet = 3",
            "quiet in [tool.lionpride.work]: cannot be 3: write true or false",
        ),
        (
            '[tool.lionpride.work]\nconcurrency = "many"',
            "concurrency in [tool.lionpride.work]: 'many' is not a whole number",
        ),
        (
            "[tool.lionpride.work]\ntimeout = 3",
            "timeout in [tool.lionpride.work]: cannot be 3: the command does not take it: move",
        ),
        (
            "[tool.lionpride.work]\nmetrics-port = 'x'",
            "metrics-port in [tool.lionpride.work]: 'x' is no port: give a number from 0",
        ),
        ("store = ", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused(folder, text, said):
    write(folder, f"[tool.lionpride]\n{text}\n")
    status, _, err = call(folder, "work", "jobs.py")
    assert status == 2
    assert f"{folder / 'pyproject.toml'}" in err
    assert said in err


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CONCURRENCY", "x", "LIONPRIDE_CONCURRENCY: 'x' is not a whole number"),
        ("HEALTH_PORT", "70000", "LIONPRIDE_HEALTH_PORT: '70000' is no port: give a number"),
        ("LOG_LEVEL", "loud", "LIONPRIDE_LOG_LEVEL: 'loud' is not one of"),
        ("MAX_MEMORY", "1G", "LIONPRIDE_MAX_MEMORY: '1G' is not a whole number of at least 1"),
        ("LOG_FORMATS", "json", "LIONPRIDE_LOG_FORMATS=json: there is no such setting: did you"),
        ("STORES", "x", "LIONPRIDE_STORES=x: there is no such setting: did you mean"),
        ("STORE", "mysql://host", "LIONPRIDE_STORE: "),
    ],
)
def test_a_wrong_variable_is_refused(folder, variable, value, said):
    words = ["work", "jobs.py"] if variable != "STORE" else ["ls"]
    status, _, err = call(folder, *words, **{PREFIX + variable: value})
    assert status == 2
    assert said in err


def test_variables_of_others_are_left_alone(folder):
    assert queues(folder, "one.db", LIONPRIDE_STORE_SERVICE_HOST="x", LIONPRIDE_PORT="x") == {"a"}


def test_the_table_of_the_reference_has_all_settings():
    found: dict[str, set[str]] = {}
    for name, each in load_commands().items():
        assert isinstance(each, Command)
        for param in each.params:
            if (setting := name_of(param)) is not None:
                found.setdefault(setting, set()).add(name)
    assert set(SETTINGS) == {*found}
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| `(LIONPRIDE_\w+)` \| (.*) \|$", text, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(SETTINGS)
    for name, variable, where in rows:
        assert variable == PREFIX + name.upper().replace("-", "_")
        if name != "store":  # it is the argument STORE of the others
            assert set(re.findall(r"`(\w+)`", where)) == found[name]
