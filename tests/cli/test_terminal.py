"""What a table looks like to people and to programs."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stdout

import pytest

from keeper.cli.terminal import emit, emit_pairs, emit_table, progress, styled

ADDRESS = "0x" + "ab" * 20


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Describe a narrow terminal that has colours."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)


def on_screen(action: Callable[[], object]) -> str:
    """Return what an action prints when stdout is a terminal."""
    with redirect_stdout(Screen()) as stream:
        action()
    return stream.getvalue()


def test_a_pipe_gets_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Away from a terminal a row is one line of plain text, however long, and numbers stand to the right."""
    emit_table(("account", "debt"), [(ADDRESS * 4, "1"), (ADDRESS, "10")], right=("debt",), styles=["bold red", ""])
    lines = capsys.readouterr().out.splitlines()

    assert [line.split() for line in lines] == [["account", "debt"], [ADDRESS * 4, "1"], [ADDRESS, "10"]]
    assert len(lines[1]) == len(lines[2])


def test_a_terminal_gets_colours() -> None:
    """On a terminal a styled row has its colour."""
    assert "\x1b[31m" in on_screen(lambda: emit_table(("account",), [("x",)], styles=["red"]))


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``NO_COLOR`` in the environment there is none."""
    monkeypatch.setenv("NO_COLOR", "1")

    assert on_screen(lambda: emit(styled("text", "red"))) == "text\n"


def test_nothing_is_cut_off() -> None:
    """A cell that is wider than the terminal wraps."""
    shown = on_screen(lambda: emit_table(("account", "note"), [(ADDRESS, "y" * 60)]))

    assert shown.count("y") == 60


def test_brackets_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    """What a record says is never taken for markup."""
    emit_table(("reason",), [("[bold]not bold[/bold]",)])

    assert "[bold]not bold[/bold]" in capsys.readouterr().out


def test_pairs_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """Values begin in one column."""
    emit_pairs([("a", "1"), ("long", "2")])

    assert capsys.readouterr().out == "a     1\nlong  2\n"


def test_progress_is_silent_away_from_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar is drawn for people only, and never on stdout."""
    with progress("working", 10) as advance:
        advance(5)

    assert capsys.readouterr() == ("", "")


def test_progress_is_drawn_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal a bar is drawn on stderr."""
    stream = Screen()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("working", 10) as advance:
        advance(5)

    assert ("working" in stream.getvalue(), capsys.readouterr().out) == (True, "")
