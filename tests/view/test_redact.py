"""Secrets are not shown, whether the class is here or not."""

from pydantic import BaseModel, Field, SecretBytes, SecretStr

from lionpride.core import Event, EventStatus
from lionpride.stores.memory import MemoryStore
from lionpride.stores.record import Record
from lionpride.view.redact import called, fields_of, gist, pretty


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


async def test_what_is_kept_out_of_the_repr_or_a_secret_is_hidden() -> None:
    record = await record_of(Login())
    text = repr(fields_of(record)) + gist(record)
    assert "secret" not in text
    assert fields_of(record)["user"] == '"ada"'
    assert gist(record).startswith('user="ada"')


async def test_it_is_called_by_the_first_text_that_may_be_shown() -> None:
    record = await record_of(Login())
    assert called(record) == "ada"
    assert called(await record_of(Login(user=""))) == ""
    assert called(await record_of(Login(user="two\nlines"))) == "two lines"


async def test_a_record_without_its_class_says_so_itself() -> None:
    record = await record_of(Login())
    stranger = Record(
        **{name: getattr(record, name) for name in Record.__slots__} | {"kind": "elsewhere.Login"}
    )
    assert "secret" not in repr(fields_of(stranger))


def test_a_large_value_is_cut() -> None:
    text = pretty(list(range(100_000)))
    assert len(text) < 21_000
    assert "characters)" in text
    assert pretty({"a": 1}) == '{"a": 1}'
