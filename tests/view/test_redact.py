"""Secrets are hidden, also those of a class that is not defined in this process."""

from pydantic import BaseModel, Field, SecretBytes, SecretStr

from lionpride.core import Event, EventStatus
from lionpride.stores.memory import MemoryStore
from lionpride.stores.record import Record
from lionpride.view.redact import fields_of, label_of, readable_json, summary_of


class Key(BaseModel):
    value: SecretStr


class Login(Event):
    user: str = "ada"
    password: str = Field("one-secret", repr=False)
    token: SecretStr = SecretStr("two-secret")
    raw: SecretBytes = SecretBytes(b"three-secret")
    keys: list[SecretStr] = Field(default_factory=lambda: [SecretStr("four-secret")])


async def record_of(event: Event) -> Record:
    await MemoryStore("here").append([(event, 1.0)])
    return Record.of(event, "here", EventStatus.PENDING)


async def test_secrets_and_fields_without_repr_are_hidden() -> None:
    record = await record_of(Login())
    text = repr(fields_of(record)) + summary_of(record)
    assert "secret" not in text
    assert fields_of(record)["user"] == '"ada"'
    assert summary_of(record).startswith('user="ada"')


async def test_the_label_is_the_first_visible_text() -> None:
    record = await record_of(Login())
    assert label_of(record) == "ada"
    assert label_of(await record_of(Login(user=""))) == ""
    assert label_of(await record_of(Login(user="two\nlines"))) == "two lines"


async def test_secrets_are_hidden_if_the_class_is_not_defined_here() -> None:
    record = await record_of(Login())
    stranger = Record(
        **{name: getattr(record, name) for name in Record.__slots__} | {"kind": "elsewhere.Login"}
    )
    assert "secret" not in repr(fields_of(stranger))


def test_a_large_value_is_cut() -> None:
    text = readable_json(list(range(100_000)))
    assert len(text) < 21_000
    assert "characters)" in text
    assert readable_json({"a": 1}) == '{"a": 1}'
