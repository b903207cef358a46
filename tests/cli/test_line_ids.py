"""The id of a line: the same for the same line, and for no other."""

from uuid import uuid5

from lionpride.cli.batch.lines import NAMESPACE, line_ids


def test_it_is_a_uuid5_of_the_queue_the_number_and_the_text():
    found = line_ids("job.Work")(12, b'{"size": 1}')
    assert found == uuid5(NAMESPACE, 'job.Work\n12\n{"size": 1}')


def test_each_of_the_three_makes_another_id():
    ids = {
        line_ids(queue)(number, text)
        for queue in ("a", "b")
        for number in (1, 2)
        for text in (b"{}", b'{"n": 1}')
    }
    assert len(ids) == 8


def test_blanks_around_the_text_and_a_byte_order_mark_do_not_count():
    line_id = line_ids("a")
    assert line_id(1, b"\xef\xbb\xbf {} \r") == line_id(1, b"{}")
