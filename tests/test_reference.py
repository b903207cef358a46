"""The reference pages agree with the code: settings, metrics, errors, commands."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from documents import ROOT
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

import lionpride
from lionpride import Event, Executor, Limit, LionprideError, Processor, Retry, job
from lionpride.cli import COMMANDS, load_commands
from lionpride.engine.append_options import AppendOptions
from lionpride.engine.factory import Settings
from lionpride.stores.open import open_store
from lionpride.view.monitor import Monitor
from lionpride.view.prometheus import Prometheus
from lionpride.worker.metrics import StoreGauges
from lionpride.worker.supervisor import Supervisor
from lionpride.worker.supervisor_metrics import SupervisorMetrics
from tools import cli_options

REFERENCE = ROOT / "docs" / "reference"


def rows(page: str, heading: str | None = None) -> Iterator[list[str]]:
    """The cells of the tables of a page, or of one section of it, without their headings."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    if heading is not None:
        found = re.search(
            rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE
        )
        assert found, f"{page} has no section {heading!r}"
        text = found[1]
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line[1:-1].split("|")]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# ---------------------------------------------------------------------------------------- settings


def documented(heading: str) -> dict[str, str]:
    """The default of each setting of a section, as it is written."""
    return {names(cells[0])[0]: cells[2].strip("`") for cells in rows("settings.md", heading)}


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {
        each.name: each.default
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY) and each.name != "self"
    }


def test_the_settings_of_an_executor_are_listed_with_their_defaults() -> None:
    own = defaults(Executor.of)
    of_processor = defaults(Processor.__init__)
    expected = {name: of_processor[name] for name in Settings.__annotations__} | own
    written = {name: repr(value) for name, value in expected.items()} | {"processor": "Processor"}
    assert documented("Executor") == written


def test_the_options_of_append_are_listed() -> None:
    taken = defaults(Executor.append).keys() - {"event"}
    taken |= AppendOptions.__annotations__.keys()
    assert documented("Append").keys() == taken


def test_the_settings_of_a_retry_policy_are_listed_with_their_defaults() -> None:
    policy = Retry()
    expected = {name: repr(getattr(policy, name)) for name in Retry.__dataclass_fields__}
    assert documented("Retry") == expected | {"on": "Exception", "never": "()"}


def test_the_settings_of_a_limit_are_listed_with_their_defaults() -> None:
    expected = {
        name: "required" if value is inspect.Parameter.empty else repr(value)
        for name, value in defaults(Limit.__init__).items()
    }
    assert documented("Limit") == expected


def test_the_class_attributes_of_an_event_are_listed_with_their_defaults() -> None:
    event, written = Event(), documented("Event classes")
    assert {name: str(getattr(event, name, ())).replace("'", '"') for name in written} == written
    assert defaults(job).keys() - {"function"} <= written.keys()


@pytest.mark.parametrize(
    ("heading", "url"),
    [
        pytest.param("SQLite", "sqlite:///run.db", id="sqlite"),
        pytest.param("PostgreSQL", "postgresql://host/name", id="postgres"),
    ],
)
def test_the_options_of_a_url_are_listed(heading: str, url: str) -> None:
    with pytest.raises(lionpride.ConfigurationError) as caught:
        open_store(f"{url}?lionpride_none=1", queue="q", name="q")
    listed = str(caught.value).partition("there are ")[2].split(", ")
    assert list(documented(heading)) == listed


# ----------------------------------------------------------------------------------------- metrics


async def metrics_of_a_worker() -> dict[str, tuple[str, set[str]]]:
    """The type and the labels of the metrics that only a worker and its supervisor have."""
    supervisor = Supervisor(["true"], 1, grace=0.0)
    store = open_store("memory://", queue="q", name="q")
    up, *_ = await StoreGauges(lambda: [store]).families()
    families = SupervisorMetrics().collect(supervisor, [up])
    return {one.name: (one.type, labels_of(one)) for one in families}


async def test_the_metrics_that_are_written_are_those_that_are_listed(tmp_path: Path) -> None:
    listed = {
        names(name)[0].removesuffix("_total"): (kind, set(names(labels)))
        for name, kind, labels, _ in rows("metrics.md")
    }
    assert await written_metrics(tmp_path) | await metrics_of_a_worker() == listed


async def written_metrics(folder: Path) -> dict[str, tuple[str, set[str]]]:
    """The type and the labels of each metric of an executor that failed, retried and completed."""

    @job(retry=Retry(max_attempts=2, backoff=0.001))
    async def count(number: int) -> int:
        return 1 // number

    limits = [Limit("requests", 100, per=60)]
    executor = Executor.of(count, limits=limits, store=f"sqlite:///{folder}/run.db")
    prometheus = Prometheus(Monitor(executor))
    async with executor:
        await executor.append_many([count(0), count(1)])
        await executor.join()
        text = (await prometheus.answer())[0].decode()
    prometheus.close()
    return {one.name: (one.type, labels_of(one)) for one in text_string_to_metric_families(text)}


def labels_of(family: Metric) -> set[str]:
    return {label for sample in family.samples for label in sample.labels} - {"le"}


# ------------------------------------------------------------------------------------------ errors


def exported() -> dict[str, type[LionprideError]]:
    found = {name: getattr(lionpride, name) for name in lionpride.__all__}
    return {
        name: each
        for name, each in found.items()
        if isinstance(each, type) and issubclass(each, BaseException)
    }


def test_each_error_is_listed_with_its_default_for_retryable() -> None:
    listed = {}
    for cells in rows("errors.md"):
        flag = cells[2] if len(cells) == 5 else cells[1]
        listed[names(cells[0])[0]] = flag.partition(",")[0]
    assert listed == {
        name: "yes" if error.default_retryable else "no" for name, error in exported().items()
    }


def test_each_error_is_listed_with_its_other_base_classes() -> None:
    listed = {names(cells[0])[0]: cells[1] for cells in rows("errors.md") if len(cells) == 5}
    bases = {
        name: ", ".join(
            each.__name__ if each.__module__ != "asyncio.queues" else f"asyncio.{each.__name__}"
            for each in error.__bases__
            if each not in (LionprideError, Exception)
        )
        for name, error in exported().items()
        if name in listed
    }
    assert listed == bases


# ---------------------------------------------------------------------------------------- commands


def test_the_options_of_each_command_are_part_of_the_page() -> None:
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    assert sorted(cli_options.MARKER.findall(text)) == sorted(COMMANDS)


def test_the_table_of_commands_has_all_of_them() -> None:
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    table = text[: text.index("\n## ")]
    assert set(re.findall(r"\[`([a-z]+)`\]\(", table)) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_what_the_help_of_a_command_has(name: str) -> None:
    command = load_commands()[name]
    text = command.get_help(click.Context(command, info_name=name))
    page = cli_options.options_of(name)
    listed = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", text, re.MULTILINE)) - {"--help"}
    written = set(re.findall(r"`(--[a-z-]+)[` ]", page))
    assert {each for each in written if each.startswith("--no-")} <= {
        f"--no-{each[2:]}" for each in listed
    }
    assert {each for each in written if not each.startswith("--no-")} == listed
    rows = re.findall(r"^\| (`.*) \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) == len([each for each in command.params if cli_options.is_shown(each)])
    assert [names for names, meaning in rows if not meaning] == []


def test_the_page_of_a_command_has_its_usage_and_each_option() -> None:
    text = cli_options.with_options("# run\n\n<!-- options: run -->\n")
    assert "lionpride run --input FILE" in text
    assert "| `--input FILE` |" in text
    assert "(default: 25)" in text
    assert "--help" not in text
    assert "%" not in text


# ------------------------------------------------------------------------------------- contributors


def test_the_page_about_store_operations_quotes_the_source() -> None:
    page = (ROOT / "docs" / "explanation" / "store-operations.md").read_text(encoding="utf-8")
    stores = (ROOT / "src" / "lionpride" / "stores").rglob("*.py")
    source = {line.strip() for path in stores for line in path.read_text("utf-8").splitlines()}
    blocks = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    quoted = [line.strip() for block in blocks for line in block.splitlines()]
    assert len(blocks) == 3
    assert [line for line in quoted if line not in source] == []
    named = re.findall(r"`(stores/[a-z_/]+\.py)`", page)
    assert [name for name in named if not (ROOT / "src" / "lionpride" / name).exists()] == []
