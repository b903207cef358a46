"""Tables as rich draws them."""

from lionpride.cli.output.table import show_table


def test_every_cell_is_drawn_and_ids_are_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    uid = "12345678-1234-1234-1234-123456789012"
    show_table(["id", "status", "why"], [[uid, "failed", "[red]no markup[/red] " * 6]], set())
    out = capsys.readouterr().out
    assert uid in out
    assert "failed" in out
    assert "[red]no" in out
