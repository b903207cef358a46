"""`lionpride append`: one event from the shell."""

import json
import textwrap

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
        (("how=a", "--when", "failed"), "when='failed' needs after"),
        (("how=a", "--timeout", "0"), "is not a number of seconds above 0"),
        (("how=a", "--after", "x"), "'x' is no id"),
        (("how=a", "--queue", "a", "--queue", "b"), "name one with --queue"),
    ],
)
def test_nothing_is_appended_if_something_is_wrong(kept, job, capsys, words, message):
    status, _, err = said(capsys, "append", kept, job, *words)
    assert status == 2
    assert message in err
    assert said(capsys, "ls", kept, "--json")[1].strip() == ""


def test_an_event_waits_for_its_parents(kept, job, capsys):
    first = said(capsys, "append", kept, job, "how=Ann")[1].strip()
    other = said(capsys, "append", kept, job, "how=Bea", "--queue", "mails")[1].strip()
    parents = ("--after", first, "--after", other, "--when", "finished")
    status, out, _ = said(capsys, "append", kept, job, "how=Cy", *parents, "--timeout", "9")
    assert status == 0
    shown = json.loads(said(capsys, "show", kept, out.strip(), "--json")[1])
    assert {each["id"] for each in shown["parents"]} == {first, other}
    assert {each["when"] for each in shown["parents"]} == {"finished"}
    assert shown["payload"]["timeout"] == 9
    status, _, err = said(capsys, "append", kept, job, "how=Dan", "--after", "f" * 32)
    assert (status, "no event of this id" in err) == (1, True)


def test_an_event_whose_id_is_known_stays_as_it_is(kept, job, capsys):
    uid = said(capsys, "append", kept, job, "how=Ann")[1].strip()
    again = ("append", kept, job, "how=Bea", f"id={uid}")
    assert said(capsys, *again)[0] == 2
    status, out, _ = said(capsys, *again, "--exist-ok", "--json")
    assert (status, json.loads(out)["appended"], json.loads(out)["id"]) == (0, False, uid)


def test_the_error_of_a_store_that_is_not_there_names_the_remedy(place):
    done = place.run("append", "none.db", "job.py:Work")
    assert done.returncode == 2
    assert "none.db: no such file" in done.stderr
    assert "or create the store with: lionpride migrate none.db" in done.stderr


SHOP = """
    from lionpride.core import Executor, job

    @job
    def ship(order: int) -> None:
        print("shipped", order)

    @job
    def bill(order: int) -> None:
        pass

    @job
    def thank(order: int) -> None:
        pass

    store = "sqlite:///shop.db"
    shipping = Executor.of(ship, bill, store=store, queue="shipping", max_queue_size=2)
"""


@pytest.fixture
def shop(place):
    """A place with a file that declares an executor, and with its store."""
    (place.path / "shop.py").write_text(textwrap.dedent(SHOP))
    assert place.run("migrate", "shop.db").returncode == 0
    return place


def queue_of(place, *words, **variables):
    """Append an event; return its queue."""
    place.env = {**place.env, **variables}
    (told,) = place.store("append", *words, "--json")
    return told["queue"]


def test_the_worker_of_a_file_runs_what_was_appended_with_it(shop):
    assert queue_of(shop, "shop.py:ship", "order=1") == "shipping"
    assert queue_of(shop, "shop.db", "shop.py:thank", "order=2") == "shop.thank"
    for target in ("shop.py", "shop.py:ship"):
        done = shop.run("work", target, "--store", "shop.db", "--until-empty")
        assert done.returncode == 0, done.stderr
    assert "working on shipping (0 pending) of" in done.stderr
    counts = {
        each["queue"]: each["completed"] for each in shop.store("counts", "shop.db", "--json")
    }
    assert counts == {"shipping": 1, "shop.thank": 1}


def test_two_targets_of_one_executor_are_one(shop):
    queue_of(shop, "shop.py:bill", "order=1")
    done = shop.run("work", "shop.py:ship", "shop.py:bill", "--until-empty")
    assert done.returncode == 0, done.stderr
    assert "working on shipping (1 pending) of" in done.stderr


def test_the_queue_is_the_option_or_the_setting_or_that_of_the_executor(shop):
    ship = ("shop.py:ship", "order=1")
    assert queue_of(shop, *ship, "--queue", "mine", LIONPRIDE_QUEUE="set") == "mine"
    assert queue_of(shop, *ship, LIONPRIDE_QUEUE="set") == "set"
    assert queue_of(shop, *ship, LIONPRIDE_QUEUE="set shipping") == "shipping"
    shop.env["LIONPRIDE_QUEUE"] = "set other"
    done = shop.run("append", *ship)
    assert (done.returncode, "and shipping, that of shop.py" in done.stderr) == (2, True)


def test_the_limit_of_the_executor_holds(shop):
    for order in (1, 2):
        queue_of(shop, "shop.py:ship", f"order={order}")
    done = shop.run("append", "shop.py:ship", "order=3")
    assert done.returncode == 1
    assert "queue shipping is full (max_queue_size of shop.py:shipping)" in done.stderr
    waiting = shop.start("append", "shop.py:ship", "order=3", "--wait")
    assert shop.run("work", "shop.py", "--until-empty").returncode == 0
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, err) == (0, "")
    assert out


def test_of_several_executors_the_queue_decides(shop):
    with (shop.path / "shop.py").open("a") as file:
        file.write("express = Executor.of(ship, store=store, queue='express')\n")
    for command in ("append", "work"):
        done = shop.run(command, "shop.py:ship")
        assert done.returncode == 2
        assert "several executors (shop.py:express, shop.py:shipping)" in done.stderr
    assert queue_of(shop, "shop.py:ship", "order=1", "--queue", "express") == "express"
    assert queue_of(shop, "shop.py:express", "order=1") == "express"


def test_a_store_is_needed_if_no_executor_has_one(shop):
    done = shop.run("append", "shop.py:thank", "order=1")
    assert done.returncode == 2
    assert "STORE is needed, since shop.py:thank has no store: name a file" in done.stderr
