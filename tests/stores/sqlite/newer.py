"""A made-up version of the library that is one schema version ahead."""

import pytest

from lionpride.stores.sqlite import file, migrations

VERSION = file.VERSION + 1
SCRIPT = f"""\
ALTER TABLE lionpride_event ADD COLUMN more TEXT;
INSERT INTO lionpride_version (number) VALUES ({VERSION});
"""


def be_newer(monkeypatch: pytest.MonkeyPatch, script: str = SCRIPT) -> None:
    """Let this process know one more schema version, which a script leads to."""
    known = file.script
    for module in (file, migrations):
        monkeypatch.setattr(module, "VERSION", VERSION)
        monkeypatch.setattr(module, "script", lambda n: script if n == VERSION else known(n))
