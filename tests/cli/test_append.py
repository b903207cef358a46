"""`lionpride append`: one event from the shell."""

import json

import pytest

from lionpride.cli import main


@pytest.fixture
def job(kept):
    """A target, and an empty store beside it."""
    assert main(["migrate", kept]) == 0
    return "cli.sample_store:Deed"


def said(capsys, *words):
    capsys.readouterr()
    status = main([*words])
    return status, *capsys.readouterr()


def test_an_event_is_appended_with_its_fields_and_options(kept, job, capsys):
    status, out, _ = said(
        capsys,
        *("append", kept, job, "how=12", "size=3", 'metadata:={"a": [1]}'),
        *("--priority", "2.5", "--delay", "1h", "--ttl", "1d", "--queue", "mails", "--json"),
    )
    assert status == 0
    told = json.loads(out)
    assert (told["queue"], told["appended"]) == ("mails", True)
    _, out, _ = said(capsys, "show", kept, told["id"], "--json")
    shown = json.loads(out)
    payload = shown["payload"]
    assert (payload["how"], payload["size"], payload["metadata"]["a"]) == ("12", 3, [1])
    assert (shown["priority"], shown["status"], shown["queue"]) == (2.5, "pending", "mails")
    assert shown["due"] is not None


def test_fields_may_be_one_json_object(kept, job, capsys):
    status, out, _ = said(capsys, "append", kept, job, "--fields", '{"how": "Ann"}', "size=2")
    assert status == 0
    _, shown, _ = said(capsys, "show", kept, out.strip(), "--json")
    assert json.loads(shown)["payload"]["how"] == "Ann"


def test_a_unique_event_is_appended_once(kept, job, capsys):
    words = ("append", kept, job, "how=Ann", "--unique", "ann", "--unique-for", "1h")
    first = said(capsys, *words)[1].strip()
    assert said(capsys, *words)[1] == f"{first}  was there already\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("how=Ann", "size=many"), "size: "),
        (("how=Ann", "sise=1"), "did you mean size?"),
        (("how",), "write NAME=VALUE"),
        (("how=a", "how=b"), "how is given twice"),
        (("how=a", "size:=[x"), "size: is not JSON"),
        (("--fields", "[1]"), "--fields must be a JSON object"),
        (("how=a", "--delay", "soon"), "is no length of time"),
        (("how=a", "--at", "2026-01-31T12:00"), "has no time zone"),
        (("how=a", "--unique-for", "1h"), "needs unique"),
        (("how=a", "--delay", "2h", "--ttl", "1h"), "is over before the event may start"),
    ],
)
def test_nothing_is_appended_if_something_is_wrong(kept, job, capsys, words, message):
    status, _, err = said(capsys, "append", kept, job, *words)
    assert status == 2
    assert message in err
    assert said(capsys, "ls", kept, "--json")[1].strip() == ""
