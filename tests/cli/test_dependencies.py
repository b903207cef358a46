"""Parents and children on the command line: how they are shown, listed, copied and cancelled."""

import asyncio
import json
from itertools import pairwise

import pytest
from kept import url_of

from lionpride.cli import main
from lionpride.cli.store.location import locate_store
from lionpride.core import Event, Executor, current
from lionpride.model.after import After
from lionpride.rules.state_machine import Continued


class Page(Event):
    fails: bool = False

    async def _invoke(self):
        if self.fails:
            raise ValueError("no such page")
        return "text"


class Book(Event):
    async def _invoke(self):
        return [page.response async for page in current().parents()]


@pytest.fixture
def copy(kept, tmp_path):
    """The URL of a second empty store of the same kind."""
    return url_of(kept.partition(":")[0].removesuffix("ql"), tmp_path, "copy")


def with_pages(store, work):
    """Return what ``work(executor)`` returns, for an executor of pages and books."""

    async def run():
        executor = Executor.of(Page, Book, store=locate_store(store).url, queue="pages")
        try:
            return await work(executor)
        finally:
            await executor.store.close()

    return asyncio.run(run())


def crawl(store, pages=2, **options):
    """Append pages and a book after them; return the ids of the pages, and that of the book."""

    async def append(executor):
        events = [Page() for _ in range(pages)]
        book = Book()
        await executor.append_many([book, *events], after={book: events}, **options)
        return [str(event.id) for event in events], str(book.id)

    return with_pages(store, append)


def finish(store):
    """Run all events of a store to their end."""

    async def run(executor):
        async with executor:
            await executor.join()

    with_pages(store, run)


def out(capsys, *arguments, code=0):
    assert main(list(arguments)) == code
    return capsys.readouterr().out


def said(capsys, store, uid):
    """Return the fields of ``show``."""
    lines = out(capsys, "show", store, uid).splitlines()
    return {line.split(None, 1)[0]: line.split(None, 1)[-1] for line in lines if line[0] != " "}


def data(capsys, store, uid):
    return json.loads(out(capsys, "show", store, uid, "--json"))


def statuses(capsys, store):
    lines = out(capsys, "ls", store, "--json").splitlines()
    return {one["id"]: one["status"] for one in map(json.loads, lines)}


def test_show_has_the_parents_of_an_event_and_their_condition(kept, capsys):
    (first, second), book = crawl(kept)
    text = out(capsys, "show", kept, book)
    assert "pending, blocked until its parents have finished" in text
    assert f"{first}  {Page.__module__}.Page  pending  must complete" in text
    assert f"{second}  {Page.__module__}.Page  pending  must complete" in text
    assert "inf" not in text
    assert said(capsys, kept, first)["children"].startswith(f"{book}  ")
    finish(kept)
    text = out(capsys, "show", kept, book)
    assert text.count("completed: met") == 2


def test_show_has_the_first_of_many_parents_and_their_number(kept, capsys):
    pages, book = crawl(kept, 12)
    text = out(capsys, "show", kept, book)
    assert [page in text for page in pages] == [True] * 5 + [False] * 7
    assert "and 7 more" in text
    assert [one["id"] for one in data(capsys, kept, book)["parents"]] == pages


def test_the_json_of_show_has_parents_and_children_as_fields(kept, capsys):
    (first, second), book = crawl(kept, when="finished")
    shown = data(capsys, kept, book)
    assert (shown["status"], shown["blocked"], shown["due"]) == ("pending", True, None)
    assert shown["parents"] == [
        {
            "id": uid,
            "queue": "pages",
            "kind": f"{Page.__module__}.Page",
            "status": "pending",
            "blocked": False,
            "when": "finished",
            "is_met": None,
        }
        for uid in (first, second)
    ]
    assert shown["children"] == []
    assert [one["id"] for one in data(capsys, kept, first)["children"]] == [book]


def test_the_earliest_start_of_a_blocked_event_is_shown(kept, capsys):
    _, book = crawl(kept, at=4102444800.0)
    assert said(capsys, kept, book)["due"] == "2100-01-01 00:00:00 UTC, or later"


def test_ls_lists_blocked_events_as_such(kept, capsys):
    pages, book = crawl(kept)
    text = out(capsys, "ls", kept)
    assert text.count(" blocked ") == 1
    assert text.count(" pending ") == 2
    assert "inf" not in text.lower()
    (line,) = out(capsys, "ls", kept, "--blocked", "--json").splitlines()
    assert json.loads(line)["id"] == book
    assert "Infinity" not in line
    for uid in pages:
        assert uid not in out(capsys, "ls", kept, "--blocked", "--status", "pending")
    finish(kept)
    assert out(capsys, "ls", kept, "--blocked", "--json").strip() == ""


def test_ls_refuses_blocked_events_of_another_status(kept, capsys):
    crawl(kept)
    assert main(["ls", kept, "--blocked", "--status", "failed"]) == 2
    assert "only pending events are blocked" in capsys.readouterr().err


def test_why_names_the_parents(kept, capsys):
    (first, _), book = crawl(kept)
    assert first in out(capsys, "why", kept, book)


def copied(capsys, store, copy, tmp_path, *options):
    capsys.readouterr()
    file = tmp_path / "all.jsonl"
    file.write_text(out(capsys, "export", store))
    return main(["import", str(file), copy, *options])


@pytest.mark.parametrize("page_size", [2, 500])
def test_blocked_events_are_blocked_in_a_copy(kept, copy, capsys, tmp_path, monkeypatch, page_size):
    monkeypatch.setattr("lionpride.cli.commands.import_.PAGE", page_size)
    pages, book = crawl(kept, 5)

    async def append(executor):  # a chain whose events come before their parents
        chain = [Book() for _ in range(4)]
        after = dict(zip(chain, [*chain[1:], book], strict=True))
        await executor.append_many(chain, after=after)
        return [str(each.id) for each in chain]

    chain = with_pages(kept, append)
    assert copied(capsys, kept, copy, tmp_path) == 0
    capsys.readouterr()
    assert len(out(capsys, "ls", copy, "--blocked", "--json").splitlines()) == 5
    assert [one["id"] for one in data(capsys, copy, book)["parents"]] == pages
    assert [one["id"] for one in data(capsys, copy, chain[0])["parents"]] == [chain[1]]
    finish(copy)
    assert set(statuses(capsys, copy).values()) == {"completed"}
    assert data(capsys, copy, book)["payload"]["execution"]["response"] == ["text"] * 5


def test_blocked_events_are_copied_over_several_queues(kept, copy, capsys, tmp_path):
    async def append(executor):
        other = Executor.of(Page, Book, store=locate_store(kept).url, queue="another")
        first, second, third = Book(), Page(), Book()
        await executor.append(page := Page())
        await other.append(first, after=page)
        await executor.append(second, after=first)
        await other.append(third, after=second)
        await other.store.close()
        return [str(each.id) for each in (page, first, second, third)]

    ids = with_pages(kept, append)
    assert copied(capsys, kept, copy, tmp_path) == 0
    capsys.readouterr()
    for parent, child in pairwise(ids):
        assert [one["id"] for one in data(capsys, copy, child)["parents"]] == [parent]


def test_an_export_without_the_parents_of_a_blocked_event_is_refused(kept, copy, capsys, tmp_path):
    (first, _), book = crawl(kept)
    lines = out(capsys, "export", kept).splitlines()
    file = tmp_path / "some.jsonl"
    file.write_text("\n".join(line for line in lines if json.loads(line)["id"] != first))
    assert main(["import", str(file), copy]) == 1
    error = capsys.readouterr().err
    assert f"{first}, a parent of {book}, is neither in the file nor in" in error
    assert "nothing was imported" in error
    file.write_text(next(line for line in lines if json.loads(line)["id"] == first))
    assert main(["import", str(file), copy]) == 0
    assert copied(capsys, kept, copy, tmp_path, "--exist-ok") == 0
    capsys.readouterr()
    assert data(capsys, copy, book)["blocked"] is True


def test_a_child_that_was_cancelled_for_a_parent_waits_for_it_again_in_a_copy(
    kept, copy, capsys, tmp_path
):
    async def fail(executor):
        page, book = Page(fails=True), Book()
        await executor.append_many([book, page], after={book: page})
        async with executor:
            await executor.join()
        return str(page.id), str(book.id)

    page, book = with_pages(kept, fail)
    assert copied(capsys, kept, copy, tmp_path) == 0
    assert main(["retry", copy, page]) == 0
    capsys.readouterr()
    assert data(capsys, copy, book)["blocked"] is True


def continue_one(store):
    """Continue an event by a book after two new pages and an older one."""

    async def run(executor):
        old, start, pages, book = Page(), Page(), [Page(), Page()], Book()
        await executor.append_many([old, start], priorities=[9.0, 0.0])
        ((claimed, attempt),), _ = await executor.store.claim("worker", start=True)
        assert claimed is start
        parents = After(tuple(event.id for event in (old, *pages)))
        entries = [(event, 5.0) for event in (*pages, book)]
        outcome = Continued(entries, {book.id: parents}, 0.5)
        (answer,) = await executor.store.settle([(claimed, attempt, outcome)])
        assert answer.is_recorded
        return [str(event.id) for event in (old, start, *pages, book)]

    return with_pages(store, run)


def test_show_has_the_continuation_of_an_event(kept, capsys):
    _, start, *_, book = continue_one(kept)
    assert said(capsys, kept, start)["continued"] == f"by {book}, which computes the result"
    assert data(capsys, kept, start)["continued_by"] == book


def test_cancel_of_a_continued_event_cancels_what_it_has_appended(kept, capsys):
    old, start, first, second, book = continue_one(kept)
    assert out(capsys, "cancel", kept, start) == f"{start}  cancelled\n"
    assert statuses(capsys, kept) == {
        old: "pending",
        start: "completed",
        first: "cancelled",
        second: "cancelled",
        book: "cancelled",
    }
    assert main(["cancel", kept, start]) == 1


def test_cancel_follows_a_chain_of_continuations(kept, capsys):
    async def run(executor):
        await executor.append(Page())
        ids = []
        for _ in range(3):
            ((event, attempt),), _ = await executor.store.claim("worker", start=True)
            ids.append(str(event.id))
            following = Page()
            outcome = Continued([(following, 0.0)], {}, 0.5)
            await executor.store.settle([(event, attempt, outcome)])
        return [*ids, str(following.id)]

    first, *between, last = with_pages(kept, run)
    assert main(["cancel", kept, first]) == 0
    found = statuses(capsys, kept) if capsys.readouterr() else {}
    assert found[last] == "cancelled"
    assert {found[uid] for uid in (first, *between)} == {"completed"}
