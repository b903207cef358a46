"""What is written of an event names the fields that are not to be shown."""

from typing import Any

import pytest
from pydantic import Field, SecretStr

from lionpride.core import Event
from lionpride.model.serialization.class_metadata import hidden_fields
from lionpride.model.serialization.payload import event_from_payload, payload_of, type_and_payload


class Login(Event):
    user: str = ""
    password: str = Field("", repr=False)


class Richer(Login):
    token: SecretStr = SecretStr("")


@pytest.mark.parametrize("kind", [Login, Richer])
@pytest.mark.parametrize("mode", ["json", "python"])
def test_a_dump_names_them_and_reads_back_without_a_trace(kind: Any, mode: Any) -> None:
    event = kind(user="ada", password="s3cret")
    data = event.to_dict(mode)
    assert data["metadata"]["lion_hidden"] == ["password"]
    back = Event.from_dict(data)
    assert back.password == "s3cret"  # type: ignore[attr-defined]
    assert "lion_hidden" not in back.metadata
    assert back.to_dict(mode) == data


@pytest.mark.parametrize("kind", [Login, Richer])
def test_what_a_store_keeps_names_them_too(kind: Any) -> None:
    event = kind(user="ada", password="s3cret")
    assert '"lion_hidden":["password"]' in payload_of(event)
    key, text = type_and_payload(event)
    back: Any = event_from_payload(text, kind=key, id=event.id, created=1.0, entries={})
    assert back.password == "s3cret"
    assert not back.metadata


def test_most_have_none() -> None:
    assert hidden_fields(Event) == ()
    assert "lion_hidden" not in Event().to_dict("json")["metadata"]
