"""The command line never shows a password, however a URL is written."""

import pytest

from lionpride.cli import main
from lionpride.stores.url import redact

URLS = [
    "postgresql://me:{}@[::1/db",
    "postgresql://me:{}@host:port/db",
    "postgresql://me:{}@host:99999/db",
    "postgresql://me:{}@127.0.0.1:1/db?lionpride_patience=0",
    "postgresql://me:{}@127.0.0.1:1/db?sslmode=bogus",
    "postgresql://me:{}@127.0.0.1:1/db?lionpride_poll=x",
    "postgresql://127.0.0.1:1/db?user=me&password={}&lionpride_patience=0",
    "postgresql://127.0.0.1:1/db?user=me&PASSWORD={}&lionpride_poll=x",
    "postgresql:me:{}@host/db",
    "mysql://me:{}@host/db",
    "sqlite://me:{}@host/db",
    "host=127.0.0.1 user=me password={}",
    "host=127.0.0.1 user=me password = '{}'",
]
SPELLINGS = ["{}", " {}", "{}\n", "POSTGRESQL{}", "postgresql+asyncpg{}", "postgresql+no{}"]


def spelled(spelling: str, url: str) -> str:
    if spelling.startswith(("POST", "post")):
        return spelling.format(url.removeprefix("postgresql"))
    return spelling.format(url)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("secret", ["zq-zq", "zq/zq", "zq@zq", "zq:zq", "zq?zq"])
@pytest.mark.parametrize("url", URLS)
def test_a_store(url, secret, spelling, capsys):
    assert main(["ls", spelled(spelling, url.format(secret))]) in (1, 2)
    said = "".join(capsys.readouterr())
    assert "zq" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "words",
    [
        ["{}"],
        ["ls", "run.db", "{}"],
        ["ls", "run.db", "--limit", "{}"],
        ["ls", "run.db", "--stor={}"],
        ["run", "{}"],
        ["work", "no-file.py", "--store", "{}", "--bogus"],
    ],
)
def test_a_url_where_none_belongs(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = "postgresql://me:topsecret@127.0.0.1:1/db"
    assert main([word.format(url) for word in words]) == 2
    said = "".join(capsys.readouterr())
    assert "lionpride" in said
    assert "topsecret" not in said


@pytest.mark.parametrize(
    "text",
    [
        "Connect call failed ('::1', 5432, 0, 0) for user@host",
        "postgresql://me@[::1]:5432/db cannot be reached: mail to me@host",
        "at 12:30:05 user@host was away",
    ],
)
def test_a_message_without_a_password_stays_as_it_is(text):
    assert redact(text) == text


def test_a_password_with_a_space_is_hidden():
    assert redact("postgresql://me:zq zq@host/db") == "postgresql://me@host/db"
