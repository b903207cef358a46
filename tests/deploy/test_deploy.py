"""The files in `deploy/`: valid by the tools made for them, and about what exists.

``make deploy-check`` installs the tools and shows which of them are missing. A test whose tool is
missing is skipped.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from documents import blocks_of

from lionpride.cli import COMMANDS
from lionpride.cli.targets.target import load_target

yaml = pytest.importorskip("yaml", reason="needs PyYAML")

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
RUNBOOK = ROOT / "docs" / "howto" / "runbook.md"
UNIT = DEPLOY / "systemd" / "lionpride-worker@.service"

OF_OTHERS = {"up", "node_filesystem_avail_bytes", "node_filesystem_size_bytes"}
"""Metrics of Prometheus itself, and of the node exporter."""


def tool(name: str) -> str:
    """The path of a program, in this environment or on the machine; skips if there is none."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: `make deploy-check` installs what it can")
    return found


def check(name: str, *arguments: str | Path, cwd: Path = DEPLOY) -> str:
    """Run a program, which has to succeed."""
    command = [tool(name), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    return [rule for group in read(RULES)["groups"] for rule in group["rules"]]


# ----------------------------------------------------------------------------------------- tools


def test_promtool_accepts_the_rules_and_the_configuration() -> None:
    check("promtool", "check", "rules", RULES)
    check("promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    check("promtool", "test", "rules", "alerts_test.yml", cwd=DEPLOY / "prometheus")
    cases = read(DEPLOY / "prometheus" / "alerts_test.yml")["tests"]
    checks = [
        (bool(each["exp_alerts"]), each["alertname"])
        for case in cases
        for each in case["alert_rule_test"]
    ]
    names = {rule["alert"] for rule in rules()}
    assert {name for fires, name in checks if fires} == names
    assert {name for fires, name in checks if not fires} == names


def test_promtool_can_read_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    queries = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__rate_interval", "1m", query)}
        for number, query in enumerate(dashboard_queries())
    ]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": queries}]}))
    check("promtool", "check", "rules", path)


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = str(Path(sys.executable).parent / "lionpride")
    text = UNIT.read_text(encoding="utf-8")
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/srv/app/.venv/bin/lionpride", program))  # it has to exist
    output = check("systemd-analyze", "verify", "--recursive-errors=no", unit)
    assert UNIT.name not in output, output


def test_kubernetes_accepts_the_manifests() -> None:
    check("kubernetes-validate", "--strict", *sorted((DEPLOY / "kubernetes").glob("*.yaml")))


def test_compose_accepts_its_file() -> None:
    check("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


def test_hadolint_accepts_the_containerfile() -> None:
    check("hadolint", DEPLOY / "Containerfile")


# --------------------------------------------------------------------- what the files speak about


def metrics() -> set[str]:
    """The metrics of the reference, whose table another test compares with what is exported."""
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `(lionpride_\w+)` \| (\w+) ", text, re.MULTILINE)
    parts = ("_bucket", "_sum", "_count")
    return {
        name + part for name, kind in found for part in (parts if kind == "histogram" else ("",))
    }


def dashboard_queries() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) >= 12
    return queries


def named_in(query: str) -> set[str]:
    return set(re.findall(r"\b(?:lionpride|node)_\w+|\bup\b", query))


def test_the_dashboard_and_the_alerts_name_metrics_that_exist() -> None:
    known = metrics()
    for query in [*dashboard_queries(), *(rule["expr"] for rule in rules())]:
        assert named_in(query), query
        assert named_in(query) <= known | OF_OTHERS, query


def test_each_alert_has_a_section_of_the_runbook() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    headings = {title.lower().replace(" ", "-") for title in titles}
    for rule in rules():
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert ROOT / page == RUNBOOK
        assert anchor in headings, rule["alert"]
        assert f"`{rule['alert']}`" in text


def commands_of_documents() -> list[list[str]]:
    """The arguments of each command of the runbook, in blocks and in tables."""
    text = RUNBOOK.read_text(encoding="utf-8")
    lines = [line.strip() for block in blocks_of(RUNBOOK) for line in block.text.splitlines()]
    lines += re.findall(r"`(lionpride [^`]+)`", text)
    return [shlex.split(line)[1:] for line in lines if line.startswith("lionpride ")]


def commands_of_files() -> list[list[str]]:
    """The arguments of `lionpride` in the container, the unit and the pods."""
    container = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    pods = [read_all(path) for path in (DEPLOY / "kubernetes").glob("*.yaml")]
    containers = [
        each
        for documents in pods
        for document in documents
        if document["kind"] == "Deployment"
        for each in document["spec"]["template"]["spec"]["containers"]
    ]
    unit = re.search(r"^ExecStart=\S+ (.+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert unit is not None
    return [
        json.loads(container.rpartition("\nCMD ")[2]),
        shlex.split(unit[1].replace("%i", "1")),
        *(each["args"] for each in containers if "args" in each),
    ]


def read_all(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "arguments", [*commands_of_documents(), *commands_of_files()], ids=lambda each: " ".join(each)
)
def test_a_command_and_its_options_exist(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lionpride", arguments[0], "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    options = {each.partition("=")[0] for each in arguments if each.startswith("--")}
    assert options <= set(re.findall(r"--[a-z][a-z-]*", done.stdout))


def test_the_commands_are_those_of_the_command_line() -> None:
    named = {each[0] for each in [*commands_of_documents(), *commands_of_files()]}
    assert named <= set(COMMANDS)


def test_each_stop_waits_longer_than_the_grace_time() -> None:
    """A stop takes up to 5 s more than the grace time."""
    container, unit, *pods = (grace_of(each) for each in commands_of_files())
    stop = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert stop is not None
    assert int(stop[1]) > unit + 5
    compose = read(DEPLOY / "compose.yaml")["services"]["worker"]["stop_grace_period"]
    assert int(compose.removesuffix("s")) > container + 5
    (worker,) = read_all(DEPLOY / "kubernetes" / "worker.yaml")
    assert worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= pods[0] + 5


def grace_of(arguments: list[str]) -> int:
    found = re.search(r"--grace[= ](\d+)", " ".join(arguments))
    assert found is not None
    return int(found[1])


def test_the_jobs_and_the_page_can_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIONPRIDE_STORE", f"sqlite:///{tmp_path}/run.db")
    load_target(f"{DEPLOY / 'jobs.py'}:crawler")
    command = [sys.executable, "-W", "error", str(DEPLOY / "page.py")]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


def test_no_file_has_a_password() -> None:
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert not re.search(r"://\w+:[^@/\s]+@", path.read_text(encoding="utf-8")), path
