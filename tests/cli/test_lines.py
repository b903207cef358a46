"""A line becomes an event, or a message that names the line, the field and the value."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import Field, field_validator

from lionpride.cli.batch.lines import BadLine, LineReader, label
from lionpride.core import Event


class Resize(Event):
    path: str
    width: int = 100

    @field_validator("path")
    @classmethod
    def is_a_picture(cls, value: str) -> str:
        if value.endswith(".txt"):
            raise ValueError("must be a picture")
        return value


class Ranked(Event):
    priority: int = 0


def read(raw: str | bytes, event_type=Resize, **options):
    raw = raw if isinstance(raw, bytes) else raw.encode()
    return LineReader(event_type, **options).read(7, raw)[:2]


def asked(raw: str, event_type=Resize):
    return LineReader(event_type).read(7, raw.encode())[2]


def test_the_fields_and_the_priority_of_an_event():
    event, priority = read('{"path": "a.png", "width": 3, "priority": 2.5}')
    assert (event.path, event.width, priority) == ("a.png", 3, 2.5)


def test_priority_is_optional_and_null_is_none():
    assert read('{"path": "a.png"}')[1] is None
    assert read('{"path": "a.png", "priority": null}')[1] is None


def test_a_class_with_a_field_called_priority_gets_it_too():
    event, priority = read('{"priority": 4}', Ranked)
    assert (event.priority, priority) == (4, 4.0)


def test_a_line_may_ask_what_an_append_may():
    assert asked('{"path": "a.png"}') == {}
    line = '{"path": "a.png", "delay": 5, "ttl": 60, "unique": "a", "unique_for": 9}'
    assert asked(line) == {"delay": 5, "ttl": 60, "unique": "a", "unique_for": 9}
    assert asked('{"path": "a.png", "at": 4000000000, "ttl": null}') == {"at": 4e9}
    at = asked('{"path": "a.png", "at": "2099-01-01T10:00:00+02:00"}')["at"]
    assert at == datetime(2099, 1, 1, 8, tzinfo=UTC)


def test_a_name_that_is_a_field_of_the_class_is_the_classs():
    class Late(Event):
        delay: int
        at: str = ""

    line = '{"delay": 5, "at": "noon", "unique": "a"}'
    event, _ = read(line, Late)
    assert (event.delay, event.at) == (5, "noon")
    assert asked(line, Late) == {"unique": "a"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('"delay": -1', "line 7: delay must be >= 0 s"),
        ('"delay": "soon"', "line 7: delay must be a finite number of seconds, not 'soon'"),
        ('"at": "noon"', 'line 7: at: is no time in ISO 8601: "noon"'),
        (
            '"at": "2099-01-01"',
            'line 7: at: has no time zone: "2099-01-01": write 2099-01-01T00:00:00Z',
        ),
        ('"delay": 5, "ttl": 3', "line 7: ttl=3 is over before the event may start"),
        ('"unique": ["a"]', "line 7: unique must be a text"),
        ('"unique_for": 5', "line 7: unique_for=5 needs unique: give both"),
    ],
)
def test_what_cannot_be_asked_is_a_bad_line(line, said):
    with pytest.raises(BadLine) as raised:
        read(f'{{"path": "a.png", {line}}}')
    assert str(raised.value).startswith(said)


def test_id_timeout_and_metadata_may_be_given():
    text = f'{{"path": "a.png", "id": "{UUID(int=5)}", "timeout": 3, "metadata": {{"a": 1}}}}'
    event, _ = read(text)
    assert (event.id, event.timeout, event.metadata) == (UUID(int=5), 3, {"a": 1})


def test_the_timeout_of_the_command_is_for_lines_without_one():
    assert read('{"path": "a.png"}', timeout=9)[0].timeout == 9
    assert read('{"path": "a.png", "timeout": 3}', timeout=9)[0].timeout == 3


def test_a_byte_order_mark_is_no_part_of_the_line():
    assert read(b'\xef\xbb\xbf{"path": "a.png"}')[0].path == "a.png"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ('{"path": "a.png"', ["is not JSON", "column"]),
        ("{'path': 'a.png'}", ["is not JSON", "column 2", "'path'"]),
        (b'{"path": "\xff"}', ["UTF-8", "byte 11"]),
        ("[" * 100_000, ["line 7"]),
        ('{"path": "a.png", "width": ' + "9" * 5000 + "}", ["line 7", "digits"]),
        ("[1, 2]", ["a list", "not an object"]),
        ('"text"', ["a string", "not an object"]),
        ("3", ["a number", "not an object"]),
        ('{"path": "a', ["not JSON", "starting at column 10"]),
        ("null", ["null", "not an object"]),
        ("{}", ["path: is required"]),
        ('{"path": "a.png", "width": "big"}', ["width: ", "integer", '"big"']),
        ('{"path": 3, "width": "big"}', ["path: ", "; width: "]),
        ('{"path": "a.txt"}', ["path: must be a picture", "a.txt"]),
        ('{"path": "a.png", "widht": 3}', ["widht: ", "did you mean width?"]),
        ('{"path": "a.png", "zzz": 3}', ["zzz: ", "path, width"]),
        ('{"path": "a.png", "priority": "high"}', ["priority: must be a number", '"high"']),
        ('{"path": "a.png", "priority": true}', ["priority: must be a number", "true"]),
        ('{"path": "a.png", "priority": NaN}', ["priority: must be a finite number", "NaN"]),
        ('{"path": "a.png", "priority": 1e999}', ["priority: must be a finite number"]),
        ('{"path": "a.png", "priority": 1%s}' % ("0" * 400), ["priority: must be a finite"]),
        ('{"path": "a.png", "id": "x"}', ["id"]),
        ('{"path": "a.png", "timeout": -1}', ["timeout: ", "-1"]),
        ('{"path": "a.png", "status": "completed"}', ["status: "]),
        ('{"path": "a.png", "self": 1}', ["self: "]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(raw, words):
    with pytest.raises(BadLine) as caught:
        read(raw)
    message = str(caught.value)
    assert message.startswith("line 7: ")
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert len(message) < 400


def test_a_label_is_the_first_text_of_an_events_own_fields():
    assert label(read('{"path": "a b.png"}')[0]) == "a b.png"
    assert label(Ranked()) == ""


class Login(Event):
    password: str = Field("", repr=False)
    user: str = ""


def test_a_field_that_is_kept_out_of_the_repr_is_no_label():
    assert label(Login(password="secret", user="ada")) == "ada"
    assert label(Login(password="secret")) == ""


@pytest.mark.parametrize(
    "raw",
    [
        '{"path": "%s.txt"}',
        '{"%s": 1}',
        '{"path": "a.png", "id": "%s"}',
        '{"path": "a.png", "metadata": "%s"}',
        '{"path": "a.png", "width": "%s"}',
        '{"path": "a.png", "priority": "%s"}',
        "%s",
    ],
)
def test_a_message_is_short_however_long_the_line(raw):
    with pytest.raises(BadLine) as caught:
        read(raw % ("k" * 50_000))
    assert str(caught.value).startswith("line 7: ")
    assert len(str(caught.value)) < 400


def test_of_many_things_wrong_the_first_are_said_and_the_others_counted():
    fields = {f"f{i}": 1 for i in range(2000)}
    with pytest.raises(BadLine) as caught:
        read(json.dumps({"path": "a.png", **fields}))
    assert "f0: is not a field" in str(caught.value)
    assert str(caught.value).endswith("; and 1,995 more like these")
    assert len(str(caught.value)) < 500
