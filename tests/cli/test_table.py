"""Tables and fields as plain text."""

from lionpride.cli.output.table import json_line, show_fields, show_table


def test_columns_are_aligned_and_harmless(capsys, snapshot):
    show_table(["a", "number"], [["x\x1b[2J\ny", "1"], ["", "20"]], {1})
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert said == snapshot


def test_fields_keep_the_lines_of_a_value(capsys, snapshot):
    show_fields({"id": "1", "response": '{\n  "a": 1\x07\n}'})
    assert capsys.readouterr().out == snapshot


def test_a_line_of_json_is_ascii():
    assert json_line({"é": "\ud800"}) == '{"\\u00e9": "\\ud800"}'
