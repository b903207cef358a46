"""Where the files of a measurement go, and that nothing of them stays."""

from pathlib import Path

import pytest

from benchmarks import disk

MOUNTS = [("/", "ext4"), ("/ram", "tmpfs"), ("/ram/real", "xfs"), ("/a\\040b", "btrfs")]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/house/me", "ext4"),
        ("/ram", "tmpfs"),
        ("/ram/x/y", "tmpfs"),
        ("/ramfoo", "ext4"),
        ("/ram/real/x", "xfs"),
        ("/a b/c", "btrfs"),
    ],
)
def test_the_innermost_mount_says_what_kind_a_folder_is_of(folder: str, kind: str) -> None:
    assert disk.of_mounts(MOUNTS, Path(folder)) == kind


def test_what_is_mounted_over_a_place_last_is_what_is_there() -> None:
    assert disk.of_mounts([("/", "rootfs"), ("/", "ext4")], Path("/x")) == "ext4"
    assert disk.of_mounts([], Path("/x")) == ""


def test_where_the_system_lists_no_mounts_the_kind_is_unknown(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(disk, "MOUNTS", tmp_path / "none")
    assert disk.file_system(tmp_path) == ""


@pytest.mark.parametrize(("kind", "beside"), [("ext4", False), ("tmpfs", True)])
def test_the_folder_is_on_a_disk_and_does_not_stay(kind, beside, tmp_path, monkeypatch) -> None:
    usual, root = tmp_path / "usual", tmp_path / "root"
    usual.mkdir()
    root.mkdir()
    monkeypatch.setattr(disk, "ROOT", root)
    monkeypatch.setattr(disk, "file_system", lambda folder: kind)
    monkeypatch.setattr(disk.tempfile, "gettempdir", lambda: str(usual))
    with disk.scratch() as folder:
        (folder / "x").write_text("")
        assert folder.parent == (root if beside else usual)
    assert not list(usual.iterdir()) + list(root.iterdir())


def test_a_sync_costs_something(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(disk, "SYNCS", 3)
    assert disk.sync_cost(tmp_path) > 0
    assert not list(tmp_path.iterdir())


def test_a_database_is_copied_with_its_log(tmp_path) -> None:
    (tmp_path / "a.db").write_text("pages")
    (tmp_path / "a.db-wal").write_text("log")
    (tmp_path / "b.db").write_text("another")
    target = tmp_path / "copy"
    target.mkdir()
    disk.copy_database(str(tmp_path / "a.db"), str(target / "c.db"))
    found = {path.name: path.read_text() for path in target.iterdir()}
    assert found == {"c.db": "pages", "c.db-wal": "log"}


def test_a_measurement_has_a_folder_of_its_own(tmp_path, monkeypatch) -> None:
    asked = []

    def measure(module, parameters):
        assert Path(parameters["folder"]).is_dir()
        asked.append((module, parameters))
        return {"ns": 1.0}

    monkeypatch.setattr(disk, "measure", measure)
    assert disk.ask(tmp_path, "sqlite_raw", n=3) == {"ns": 1.0}
    ((module, parameters),) = asked
    assert (module, parameters["n"]) == ("sqlite_raw", 3)
    assert not list(tmp_path.iterdir())
