"""Tables as rich draws them."""

from lionpride.cli.pretty import draw_table


def test_every_cell_is_drawn_and_ids_are_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    uid = "12345678-1234-1234-1234-123456789012"
    draw_table(["id", "status", "why"], [[uid, "failed", "[red]no markup[/red] " * 6]], set())
    out = capsys.readouterr().out
    assert uid in out
    assert "failed" in out
    assert "[red]no" in out
