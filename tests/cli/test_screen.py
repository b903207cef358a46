"""What is said where there is no terminal: complaints on one stream, the end on the other."""

import pytest

from lionpride.cli.output.screen import PlainScreen
from lionpride.cli.output.summary import Summary

END = Summary("3 events in 1.00 s", [("completed", "3", "100.0%", "", "", "")], ["results  r"])


async def test_a_note_goes_to_standard_error_and_the_end_to_standard_output(capsys):
    with PlainScreen() as screen:
        await screen.show()
        assert capsys.readouterr() == ("", "")
        screen.note("line 2: bad")
        assert capsys.readouterr() == ("", "line 2: bad\n")
    screen.finish(END)
    out, err = capsys.readouterr()
    assert out == END.plain() + "\n"
    assert err == ""


def test_quiet_leaves_out_the_end_and_no_complaint(capsys):
    with PlainScreen(quiet=True) as screen:
        screen.note("line 2: bad")
    screen.finish(END)
    assert capsys.readouterr() == ("", "line 2: bad\n")


def test_what_the_block_raises_is_not_held_back(capsys):
    with pytest.raises(KeyError), PlainScreen():
        raise KeyError("x")
    assert capsys.readouterr() == ("", "")
