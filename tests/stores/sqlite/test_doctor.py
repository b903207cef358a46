"""What is wrong or slow with a file."""

import shutil
from pathlib import Path

import pytest
from stores.makers import Clock, Folder, Job, sqlite_in

from lionpride.stores.sqlite import doctor
from lionpride.stores.sqlite.doctor import file_system_of

MOUNTS = """\
sysfs /sys sysfs rw 0 0
/dev/vda1 / ext4 rw 0 0
server:/export /data/shared nfs4 rw 0 0
tmpfs /data/shared/with\\040blank tmpfs rw 0 0
"""


@pytest.fixture
def folder():
    return Folder()


@pytest.fixture
def file(folder, opened):
    store = sqlite_in(folder, Clock(1_000.0))
    opened.append(store)
    return store


async def test_a_file_that_is_well(file):
    await file.append([(Job(), 1.0)])
    assert await file.examine() == []


async def test_a_log_that_has_grown(file, monkeypatch):
    monkeypatch.setattr(doctor, "LOG", 1)
    await file.append([(Job(), 1.0)])
    (one,) = await file.examine()
    assert (one.check, one.level) == ("log", "slow")
    assert "run.db-wal" in one.what
    assert "wal_checkpoint" in one.remedy


async def test_a_disk_that_is_nearly_full(file, monkeypatch):
    left = shutil.disk_usage("/")._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: left)
    (one,) = await file.examine()
    assert (one.check, one.level) == ("room", "wrong")


async def test_a_file_that_is_mostly_empty(file, monkeypatch):
    monkeypatch.setattr(doctor, "EMPTY", 1)
    await file.append([(Job(label="x" * 1000), 1.0) for _ in range(1000)])
    assert await file.examine() == []
    await file.remove([record.id for record in await file.list_records(limit=1000)])
    (one,) = await file.examine()
    assert (one.check, one.level) == ("empty", "note")


async def test_leases_of_workers_that_are_gone(file, folder, opened):
    await file.append([(Job(), 1.0)])
    await file.claim("nobody", 1)
    assert await file.examine() == []
    later = sqlite_in(folder, Clock(2_000.0))
    opened.append(later)
    (one,) = await later.examine()
    assert (one.check, one.level) == ("leases", "wrong")
    assert one.what.startswith("1 events are claimed")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/run.db", "ext4"),
        ("/data/shared/run.db", "nfs4"),
        ("/data/shared/with blank/run.db", "tmpfs"),
    ],
)
def test_the_kind_of_a_file_system(tmp_path, path, kind):
    (tmp_path / "mounts").write_text(MOUNTS)
    assert file_system_of(Path(path), tmp_path / "mounts") == kind
    assert file_system_of(Path(path), tmp_path / "none") == ""


async def test_a_file_on_another_machine(file, monkeypatch):
    monkeypatch.setattr(doctor, "file_system_of", lambda path: "nfs4")
    (one,) = await file.examine()
    assert (one.check, one.level) == ("place", "wrong")
    assert "PostgreSQL" in one.remedy
