"""How the command line leaves: exit codes, one line on stderr, and quiet when nobody listens."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from keeper import __version__
from keeper.cli.main import app
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile

FOR_PEOPLE = ("run",)
COMMAND = [sys.executable, "-m", "keeper.cli"]
IMPORTS_THAT_ARE_SLOW = ("web3", "eth_account", "eth_keyfile", "pydantic", "aiohttp", "rich", "structlog", "apsw")


def test_the_version_is_printed(keeper: Keeper) -> None:
    """``--version`` says which version, and leaves with 0."""
    outcome = keeper("--version")

    assert (outcome.code, outcome.out) == (0, f"keeper {__version__}\n")


def test_help_lists_every_command(keeper: Keeper) -> None:
    """The commands of the interface that are built are all there."""
    outcome = keeper("--help")
    listed = [line.split()[0] for line in outcome.out.partition("Commands:")[2].splitlines() if line.strip()]

    assert (outcome.code, listed) == (
        0,
        [
            "run",
            "demo",
            "doctor",
            "accounts",
            "margin",
            "explain",
            "replay",
            "verify",
            "postmortem",
            "journal",
            "keys",
            "lab",
            "stress",
        ],
    )


def leaves(command: Any, *names: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer carries a click of its own
    """Return every command by the words that call it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(names), command
    else:
        for name, each in inner.items():
            yield from leaves(each, *names, name)


COMMANDS = dict(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_shows_how_it_is_written(keeper: Keeper, command: str) -> None:
    """Each command's help ends with an example of that command."""
    assert f"Example: keeper {command}" in keeper(*command.split(), "--help").out


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in FOR_PEOPLE])
def test_a_command_prints_json_for_programs(command: str) -> None:
    """Each command has ``--json``, but the daemon, whose log is JSON and whose status is served."""
    assert "--json" in [option for each in COMMANDS[command].params for option in each.opts]


@pytest.mark.parametrize(
    "arguments",
    [["verfy"], ["verify"], ["verify", "--jurnal", "x"], ["journal", "tail", "--journal", "x", "-n", "many"], []],
)
def test_bad_usage_is_exit_code_2(keeper: Keeper, arguments: list[str]) -> None:
    """An unknown command or option, a missing one, a wrong value, and no command at all are bad usage."""
    assert keeper(*arguments).code == 2


def test_a_typing_error_is_understood(keeper: Keeper) -> None:
    """A command that is nearly right is suggested."""
    assert "Did you mean 'verify'?" in keeper("verfy").err


def test_an_error_is_one_line(keeper: Keeper, tmp_path: Path) -> None:
    """An error names the thing, the reason and the remedy in one line, and no traceback."""
    outcome = keeper("journal", "stat", "--journal", f"sqlite://{tmp_path}/none.db")

    assert outcome.err == (
        f"keeper: journal {tmp_path}/none.db: there is no such file; give the url of an existing journal\n"
    )


def test_a_traceback_is_shown_on_demand(keeper: Keeper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``KEEPER_TRACEBACK=1`` prints where the error came from, and the exit code stays."""
    monkeypatch.setenv("KEEPER_TRACEBACK", "1")
    outcome = keeper("journal", "stat", "--journal", f"sqlite://{tmp_path}/none.db")

    assert outcome.err.startswith("Traceback (most recent call last):\n")
    assert ("there is no such file" in outcome.err, outcome.code) == (True, 2)


@pytest.mark.slow
def test_a_bug_shows_no_credential() -> None:
    """An exception that nobody expected is printed with its frames, and without what URLs in its message carry."""
    script = """
import keeper.cli.main as cli

def broken():
    raise ValueError("no answer of https://user:hunter2@node.example/hunter2?key=hunter2 with password='hunter2'")

cli.exit_code = broken
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, text=True)

    assert done.stderr.endswith("ValueError: no answer of https://node.example/… with password=***\n")
    assert (done.returncode, "hunter2" in done.stderr) == (1, False)


@pytest.mark.slow
def test_help_imports_nothing_slow() -> None:
    """What only some commands need is imported by those commands, so that help and completion are quick."""
    script = f"import sys, keeper.cli.main; print([name for name in {IMPORTS_THAT_ARE_SLOW!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)

    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_a_reader_who_leaves_hears_nothing(journal: JournalFile) -> None:
    """When the reader of the output closes the pipe, the command ends quietly with 141."""
    command = [*COMMAND, "journal", "tail", "--journal", journal.url, "--from", "1", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        error = process.stderr.read()

    assert (process.wait(), error) == (141, b"")


@pytest.mark.slow
def test_ctrl_c_is_exit_code_130(journal: JournalFile) -> None:
    """Ctrl-C ends a command that would go on for ever, with 130 and without a traceback."""
    command = [*COMMAND, "journal", "tail", "--journal", journal.url, "--follow", "-n", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()

    assert (process.returncode, error) == (130, b"")
