"""What kind of file it is, and what is said of one with faults."""

import io
import json

import pytest
from cli.sample_store import Deed
from cli.texts import plain

from lionpride.cli.transfer.bundle import FlowBundle, open_bundle
from lionpride.cli.transfer.flows import flow_records
from lionpride.cli.transfer.records import exported
from lionpride.cli.usage import UsageError
from lionpride.core import Flow
from lionpride.errors import ValidationError


def lines(count):
    data = json.loads(json.dumps(Flow(items=[Deed() for _ in range(count)]).to_dict("json")))
    return data, [json.dumps(exported(record)) for record in flow_records(data, "q")]


def bundle(text, queue=None):
    return open_bundle(io.BytesIO(text.encode()), "all.jsonl", queue)


def test_lines_are_read_as_often_as_asked():
    _, written = lines(3)
    found = bundle("\n" + "\n\n".join(written))
    found.check()
    for _ in range(2):
        assert [where for where, _ in found.records()] == ["line 2", "line 4", "line 6"]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_flow_may_stand_on_one_line_or_on_many(indent):
    data, _ = lines(3)
    found = bundle(json.dumps(data, indent=indent))
    assert isinstance(found, FlowBundle)
    found.check()
    assert [where for where, _ in found.records()] == ["item 1", "item 2", "item 3"]


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file(text):
    with pytest.raises(UsageError, match=r"all\.jsonl is empty"):
        bundle(text).check()


def test_faults_are_named_with_their_lines(snapshot):
    _, written = lines(2)
    text = "\n".join([written[0], "oops", "[1]", written[1], written[0], '{"id": 1}'])
    with pytest.raises(ValidationError) as error:
        bundle(text).check()
    assert plain(str(error.value)) == snapshot


def test_only_the_first_faults_are_said():
    with pytest.raises(ValidationError, match="and 5 more like these"):
        bundle("oops\n" * 10).check()
